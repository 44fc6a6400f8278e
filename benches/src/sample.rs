//! Medians, with how far the single values lie from them.

use std::fmt;

/// Values of one measure, in ascending order.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    sorted: Vec<f64>,
}

impl Sample {
    /// The value below which so many hundredths of all lie; zero where there is none.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank is small and not negative"
    )]
    pub fn percentile(&self, hundredths: f64) -> f64 {
        let last = self.sorted.len().saturating_sub(1);
        let rank = (hundredths / 100.0 * last as f64).round() as usize;
        self.sorted.get(rank.min(last)).copied().unwrap_or_default()
    }

    /// The middle value.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.percentile(50.0)
    }

    /// How many values there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }
}

impl FromIterator<f64> for Sample {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self { sorted }
    }
}

/// The median, and the lowest and the highest value.
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ({:.2}–{:.2})", self.median(), self.percentile(0.0), self.percentile(100.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value_whatever_the_order() {
        let sample: Sample = [5.0, 1.0, 3.0, 4.0, 2.0].into_iter().collect();
        assert_eq!(sample.to_string(), "3.00 (1.00–5.00)");
        assert_eq!(sample.percentile(75.0), 4.0);
        assert_eq!(Sample::default().median(), 0.0);
    }
}
