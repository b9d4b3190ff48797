//! The table of figures.

use std::fmt::Write as _;

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    figure: String,
    measured: String,
    bar: String,
    verdict: Verdict,
}

/// What a figure is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Met,
    Missed,
    /// There is no bar.
    Told,
    NotMeasured,
}

impl Verdict {
    fn of(is_met: bool) -> Self {
        if is_met { Self::Met } else { Self::Missed }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Met => "yes",
            Self::Missed => "**no**",
            Self::Told => "",
            Self::NotMeasured => "**not measured**",
        }
    }
}

impl Row {
    /// A figure that is held to a bar.
    pub fn held(figure: &str, measured: String, bar: &str, is_met: bool) -> Self {
        Self::new(figure, measured, bar, Verdict::of(is_met))
    }

    /// A figure without a bar.
    pub fn told(figure: &str, measured: String) -> Self {
        Self::new(figure, measured, "", Verdict::Told)
    }

    /// A figure that could not be taken.
    pub fn not_measured(figure: &str, reason: &str) -> Self {
        let reason = reason.lines().next().unwrap_or_default();
        Self::new(figure, reason.to_owned(), "", Verdict::NotMeasured)
    }

    fn new(figure: &str, measured: String, bar: &str, verdict: Verdict) -> Self {
        Self { figure: figure.to_owned(), measured, bar: bar.to_owned(), verdict }
    }

    /// Whether there is a figure.
    pub fn is_measured(&self) -> bool {
        self.verdict != Verdict::NotMeasured
    }
}

/// The rows as a table in Markdown.
pub fn markdown(rows: &[Row]) -> String {
    let mut table = "| figure | measured | bar | met |\n|---|---|---|---|\n".to_owned();
    for Row { figure, measured, bar, verdict } in rows {
        let [figure, measured] = [figure, measured].map(|cell| cell.replace('|', "\\|"));
        writeln!(table, "| {figure} | {measured} | {bar} | {} |", verdict.text())
            .expect("strings take everything");
    }
    table
}

/// A number with a comma after each group of three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_says_whether_its_bar_is_met() {
        let rows = [
            Row::held("a", "1".to_owned(), "2", true),
            Row::held("b", "3".to_owned(), "2", false),
            Row::told("c", "x | y".to_owned()),
            Row::not_measured("d", "no wrk\nat all"),
        ];
        let expected = "| figure | measured | bar | met |\n|---|---|---|---|\n| a | 1 | 2 | yes |\n\
                        | b | 3 | 2 | **no** |\n| c | x \\| y |  |  |\n| d | no wrk |  | **not measured** |\n";
        assert_eq!(markdown(&rows), expected);
        assert_eq!(rows.map(|row| row.is_measured()), [true, true, true, false]);
    }

    #[test]
    fn digits_are_grouped_by_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
