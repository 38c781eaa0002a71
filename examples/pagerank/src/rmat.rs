//! A graph without a file: R-MAT, as Graph500 generates it.
//!
//! An edge falls into one of the four quarters of the adjacency matrix, then into one of the quarters of that, and so
//! on: Chakrabarti, Zhan and Faloutsos, "R-MAT: A Recursive Model for Graph Mining" (SDM 2004). The probabilities, the
//! sixteen edges for each node and the shuffled numbers of the nodes are those of the Graph500 benchmark
//! (<https://graph500.org/?page_id=12>, "Generating the Edge List"); the stream of random bits is not. Every edge
//! follows from the seed and its number alone, so each process makes the part that it needs.

use serde::{Deserialize, Serialize};

/// Largest scale: 4 million nodes and 64 million edges.
pub const MAX_SCALE: u32 = 22;
/// Edges for each node, before duplicates and self-loops are dropped.
const EDGE_FACTOR: u64 = 16;
/// Of 65,536: the upper left quarter (0.57), then the upper right as well (0.19), then the lower left as well (0.19).
const QUARTERS: [u16; 3] = [37_356, 49_808, 62_260];

/// A graph of `2^scale` nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rmat {
    pub scale: u32,
    pub seed: u64,
}

impl Rmat {
    /// How many nodes there are, those without an edge included.
    pub fn nodes(self) -> usize {
        1 << self.scale.min(MAX_SCALE)
    }

    /// All edges as (from, to), in no order: duplicates and self-loops too.
    pub fn edges(self) -> impl Iterator<Item = (u32, u32)> {
        let shuffle = Shuffle::new(self);
        (0..self.nodes() as u64 * EDGE_FACTOR).map(move |number| {
            let (from, to) = self.edge(number);
            (shuffle.of(from), shuffle.of(to))
        })
    }

    fn edge(self, number: u64) -> (u32, u32) {
        let (mut from, mut to, mut state, mut bits) = (0, 0, mix(self.seed ^ mix(number)), 0);
        for level in 0..self.scale.min(MAX_SCALE) {
            if level % 4 == 0 {
                state = state.wrapping_add(GOLDEN);
                bits = mix(state);
            }
            let draw = bits as u16;
            bits >>= 16;
            let [a, b, c] = QUARTERS.map(|bound| u32::from(draw >= bound));
            // The quarters in order are (0, 0), (0, 1), (1, 0) and (1, 1).
            from = from << 1 | b;
            to = to << 1 | (a ^ b ^ c);
        }
        (from, to)
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The end of splitmix64: every bit of the input moves every bit of the output.
pub fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Gives every node another number: or those with the most edges would all have numbers with few bits.
struct Shuffle {
    mask: u32,
    shift: u32,
    factors: [u32; 3],
}

impl Shuffle {
    fn new(Rmat { scale, seed }: Rmat) -> Self {
        let scale = scale.min(MAX_SCALE);
        let odd = |n| mix(seed.wrapping_add(GOLDEN.wrapping_mul(n))) as u32 | 1;
        Self { mask: (1 << scale) - 1, shift: scale / 2 + 1, factors: [odd(1), odd(2), odd(3)] }
    }

    /// Each step can be undone, so no two nodes get the same number.
    fn of(&self, node: u32) -> u32 {
        self.factors.iter().fold(node, |node, factor| {
            let node = node.wrapping_mul(*factor) & self.mask;
            node ^ (node >> self.shift)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Rmat = Rmat { scale: 10, seed: 7 };

    #[test]
    fn the_shuffle_gives_every_number_once() {
        for scale in [1, 2, 9, 10] {
            let shuffle = Shuffle::new(Rmat { scale, ..SMALL });
            let mut numbers: Vec<u32> = (0..1 << scale).map(|node| shuffle.of(node)).collect();
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(0..1 << scale), "{scale}");
        }
    }

    #[test]
    fn the_same_seed_is_the_same_graph_and_another_is_not() {
        assert!(SMALL.edges().eq(SMALL.edges()));
        assert!(!SMALL.edges().eq(Rmat { seed: 8, ..SMALL }.edges()));
    }

    #[test]
    fn edges_fall_into_the_quarters_as_often_as_they_should() {
        let count = 1_u32 << 14;
        let mut quarters = [0_u32; 4];
        for number in 0..count {
            let (from, to) = SMALL.edge(u64::from(number));
            quarters[(from >> 9 << 1 | to >> 9) as usize] += 1;
        }
        for (got, wanted) in quarters.into_iter().zip([0.57, 0.19, 0.19, 0.05]) {
            let share = f64::from(got) / f64::from(count);
            assert!((share - wanted).abs() < 0.015, "{share} instead of {wanted}");
        }
    }
}
