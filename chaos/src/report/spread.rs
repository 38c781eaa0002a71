//! How numbers are spread: quantiles, and a histogram with bins that grow by the same factor.

use serde::Serialize;

/// Bins for each power of ten.
const BINS_PER_DECADE: f64 = 8.0;
/// Numbers below this share the first bin.
const LEAST: f64 = 0.1;
const MOST_BINS: i32 = 100;

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Spread {
    pub count: usize,
    pub least: f64,
    pub median: f64,
    pub p95: f64,
    pub most: f64,
    /// Without gaps, from the first bin with something in it to the last.
    pub bins: Vec<Bin>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bin {
    pub from: f64,
    pub to: f64,
    pub count: usize,
}

fn bin_of(value: f64) -> i32 {
    let place = ((value.max(LEAST) / LEAST).log10() * BINS_PER_DECADE).floor();
    (place as i32).clamp(0, MOST_BINS - 1)
}

fn edge(bin: i32) -> f64 {
    LEAST * 10_f64.powf(f64::from(bin) / BINS_PER_DECADE)
}

impl Spread {
    /// Of all numbers that are numbers.
    pub fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut all: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        all.sort_by(f64::total_cmp);
        let (Some(least), Some(most)) = (all.first().copied(), all.last().copied()) else {
            return Self::default();
        };
        // The nearest rank: a number that was there.
        let rank = |percent: usize| all[(all.len() * percent).div_ceil(100).saturating_sub(1)];
        let (first, last) = (bin_of(least), bin_of(most));
        let mut bins: Vec<Bin> =
            (first..=last).map(|bin| Bin { from: edge(bin), to: edge(bin + 1), count: 0 }).collect();
        for value in &all {
            bins[(bin_of(*value) - first) as usize].count += 1;
        }
        Self { count: all.len(), least, median: rank(50), p95: rank(95), most, bins }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numbers_that_were_there() {
        let spread = Spread::of((1..=100).map(f64::from));
        assert_eq!((spread.least, spread.median, spread.p95, spread.most), (1.0, 50.0, 95.0, 100.0));
        assert_eq!(spread.bins.iter().map(|bin| bin.count).sum::<usize>(), 100);
        assert!(spread.bins.windows(2).all(|pair| (pair[0].to - pair[1].from).abs() < 1e-9));
        let one = Spread::of([7.0].into_iter());
        assert_eq!((one.median, one.p95, one.bins.len()), (7.0, 7.0, 1));
    }

    #[test]
    fn strange_numbers_do_no_harm() {
        assert_eq!(Spread::of([f64::NAN, f64::INFINITY].into_iter()), Spread::default());
        let odd = Spread::of([0.0, -3.0, 1e300].into_iter());
        assert_eq!(odd.count, 3);
        assert!(odd.bins.len() <= MOST_BINS as usize);
    }
}
