//! What several rounds came to.

/// One contender's figures, in the order of the rounds.
#[derive(Debug, Clone, Default)]
pub struct Figures(pub Vec<f64>);

impl Figures {
    /// The middle one.
    pub fn median(&self) -> f64 {
        median(&self.0)
    }

    /// The lowest and the highest.
    pub fn spread(&self) -> (f64, f64) {
        self.0.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(*x), high.max(*x)))
    }

    /// The median of what this is of another, round by round: what slows a whole round down cancels out.
    pub fn ratio(&self, of: &Figures) -> f64 {
        let ratios: Vec<f64> = self.0.iter().zip(&of.0).map(|(mine, theirs)| mine / theirs).collect();
        median(&ratios)
    }
}

/// The middle one, or the mean of the two in the middle; not a number if there is none.
pub fn median(all: &[f64]) -> f64 {
    let mut all = all.to_vec();
    all.sort_by(f64::total_cmp);
    match all.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => all[n / 2],
        n => f64::midpoint(all[n / 2 - 1], all[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert!(median(&[]).is_nan());
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn a_slow_round_does_not_change_a_ratio() {
        let (slow, fast) = (Figures(vec![1.0, 0.1, 1.0]), Figures(vec![2.0, 0.2, 2.0]));
        assert_eq!(slow.ratio(&fast), 0.5);
        assert_eq!(slow.spread(), (0.1, 1.0));
    }
}
