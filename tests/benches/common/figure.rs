//! Samples, and the row of the table they become.
//!
//! Not here: the table (`cargo xtask bench`).

use serde_json::json;

/// Measured values of one kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value that so many of 100 do not exceed; nearest rank.
    pub(crate) fn percentile(&self, share: usize) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get((sorted.len() * share).div_ceil(100).saturating_sub(1)).copied()
    }

    pub(crate) fn median(&self) -> Option<f64> {
        self.percentile(50)
    }

    pub(crate) fn longest(&self) -> Option<f64> {
        self.percentile(100)
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<T: IntoIterator<Item = f64>>(values: T) -> Self {
        Self(values.into_iter().collect())
    }
}

/// What a figure shall be.
#[derive(Debug, Clone)]
pub(crate) enum Goal {
    /// It is only reported.
    Report,
    /// The median, or the one value, is at most this.
    Median(f64),
    /// 95 of 100 are at most this.
    P95(f64),
    /// The one value is at least this.
    AtLeast(f64),
    /// The one value is at most this one, which was measured in the same run; of whom.
    Beside(Option<f64>, &'static str),
}

/// A row.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    what: String,
    p50: Option<f64>,
    p95: Option<f64>,
    unit: &'static str,
    goal: Goal,
}

impl Figure {
    /// Of many samples.
    pub(crate) fn of(what: impl Into<String>, samples: &Samples, unit: &'static str, goal: Goal) -> Self {
        let what = format!("{} ({} ×)", what.into(), samples.len());
        Self { what, p50: samples.median(), p95: samples.percentile(95), unit, goal }
    }

    /// Of one value.
    pub(crate) fn one(what: impl Into<String>, value: Option<f64>, unit: &'static str, goal: Goal) -> Self {
        Self { what: what.into(), p50: value, p95: None, unit, goal }
    }

    /// Of a group that could not be measured.
    pub(crate) fn missing(what: &str) -> Self {
        Self::one(format!("{what}: not measured"), None, "", Goal::Report)
    }

    fn met(&self) -> Option<bool> {
        match self.goal {
            Goal::Report => None,
            Goal::Median(most) => self.p50.map(|value| value <= most),
            Goal::P95(most) => self.p95.map(|value| value <= most),
            Goal::AtLeast(least) => self.p50.map(|value| value >= least),
            Goal::Beside(most, _) => Some(self.p50? <= most?),
        }
    }

    fn goal(&self) -> String {
        let goal = match self.goal {
            Goal::Report => "report".into(),
            Goal::Median(most) if self.p95.is_none() => format!("≤ {most} {}", self.unit),
            Goal::Median(most) => format!("≤ {most} {} p50", self.unit),
            Goal::P95(most) => format!("≤ {most} {} p95", self.unit),
            Goal::AtLeast(least) => format!("≥ {least} {}", self.unit),
            Goal::Beside(Some(most), whose) => format!("≤ {whose}'s {most:.2} {}", self.unit),
            Goal::Beside(None, whose) => format!("≤ {whose}'s, which is not there"),
        };
        goal.replace("  ", " ").trim().to_owned()
    }

    /// One line for the runner's table.
    pub(crate) fn print(&self) {
        let (goal, met) = (self.goal(), self.met());
        println!(
            "{}",
            json!({ "figure": self.what, "p50": self.p50, "p95": self.p95, "unit": self.unit, "goal": goal, "met": met })
        );
    }
}
