// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Figures with their units, and how they are written.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A figure with its unit. `Display` is the one way in which Llamux writes it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "unit", content = "value", rename_all = "kebab-case")]
pub enum Quantity {
    /// Bytes, written as KiB, MiB, GiB, TiB.
    Bytes(u64),
    /// Bytes in a second.
    BytesPerSecond(f64),
    /// Parts of a hundred.
    Percent(f64),
    /// How many.
    Count(u64),
    /// How many in a second.
    PerSecond(f64),
    /// A number without a unit that has a fraction, such as a load average.
    Number(f64),
    /// Time, written in the unit that fits: ms, s, min, h, days.
    Seconds(f64),
    /// A temperature.
    Celsius(f64),
    /// A frequency, written as MHz, GHz.
    Hertz(u64),
    /// Power.
    Watts(f64),
    /// The strength of a radio signal.
    Decibels(f64),
}

/// A figure that a text may have, and what it is of.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What it is, such as "memory available".
    pub what: String,
    /// The figure.
    pub quantity: Quantity,
}

impl Quantity {
    /// All ways to write it that are right. The first is the one of `Display`.
    ///
    /// A figure may be rounded to fewer digits, decimal units (GB) are right with the decimal number only, and
    /// the blank before the unit may be missing.
    pub fn spellings(self) -> Vec<String> {
        let mut out = vec![];
        match self {
            Self::Bytes(bytes) => {
                // CAST: a size loses digits that are not written.
                let bytes = bytes as f64;
                scaled(&mut out, bytes, &BINARY, "");
                scaled(&mut out, bytes, &DECIMAL, "");
            }
            Self::BytesPerSecond(rate) => {
                scaled(&mut out, rate, &BINARY, "/s");
                scaled(&mut out, rate, &DECIMAL, "/s");
            }
            Self::Percent(value) => {
                for number in roundings(value) {
                    out.push(format!("{number} %"));
                    out.push(format!("{number}%"));
                    out.push(format!("{number} percent"));
                    out.push(format!("{number} per cent"));
                }
            }
            Self::Count(count) => {
                out.push(count.to_string());
                if count >= 1000 {
                    out.push(grouped(count));
                }
            }
            Self::PerSecond(value) => {
                for number in roundings(value) {
                    out.push(format!("{number}/s"));
                    out.push(format!("{number} /s"));
                    out.push(format!("{number} per second"));
                    out.push(format!("{number} a second"));
                }
            }
            Self::Number(value) => {
                out.push(format!("{value:.2}"));
                out.extend(roundings(value));
            }
            Self::Seconds(value) => seconds(&mut out, value),
            Self::Celsius(value) => {
                for number in roundings(value) {
                    out.push(format!("{number} °C"));
                    out.push(format!("{number}°C"));
                    out.push(format!("{number} degrees"));
                }
            }
            Self::Hertz(value) => {
                // CAST: a frequency is far below 2^53.
                scaled(&mut out, value as f64, &HERTZ, "");
            }
            Self::Watts(value) => {
                for number in roundings(value) {
                    out.push(format!("{number} W"));
                    out.push(format!("{number}W"));
                    out.push(format!("{number} watts"));
                }
            }
            Self::Decibels(value) => {
                out.push(format!("{value:.0} dBm"));
                out.push(format!("{value:.0}dBm"));
            }
        }
        let written = self.to_string();
        out.retain(|spelling| *spelling != written);
        out.insert(0, written);
        let mut seen = std::collections::HashSet::new();
        out.retain(|spelling| seen.insert(spelling.clone()));
        out
    }

    /// The bare number, for comparisons.
    pub fn value(self) -> f64 {
        match self {
            // CAST: figures are compared with thresholds of few digits.
            Self::Bytes(value) | Self::Count(value) | Self::Hertz(value) => value as f64,
            Self::BytesPerSecond(value)
            | Self::Percent(value)
            | Self::PerSecond(value)
            | Self::Number(value)
            | Self::Seconds(value)
            | Self::Celsius(value)
            | Self::Watts(value)
            | Self::Decibels(value) => value,
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            // CAST: as above.
            Self::Bytes(bytes) => f.write_str(&fitting(bytes as f64, &BINARY, "")),
            Self::BytesPerSecond(rate) => f.write_str(&fitting(rate, &BINARY, "/s")),
            Self::Percent(value) => write!(f, "{} %", short(value)),
            Self::Count(count) => write!(f, "{count}"),
            Self::PerSecond(value) => write!(f, "{}/s", short(value)),
            Self::Number(value) => write!(f, "{value:.2}"),
            Self::Seconds(value) => {
                let (number, unit) = time(value);
                write!(f, "{} {unit}", short(number))
            }
            Self::Celsius(value) => write!(f, "{value:.0} °C"),
            // CAST: as above.
            Self::Hertz(value) => f.write_str(&fitting(value as f64, &HERTZ, "")),
            Self::Watts(value) => write!(f, "{value:.1} W"),
            Self::Decibels(value) => write!(f, "{value:.0} dBm"),
        }
    }
}

/// Units with their sizes, the smallest first.
type Units = [(f64, &'static str)];

const BINARY: [(f64, &str); 5] = [
    (1.0, "B"),
    (1024.0, "KiB"),
    (1_048_576.0, "MiB"),
    (1_073_741_824.0, "GiB"),
    (1_099_511_627_776.0, "TiB"),
];

const DECIMAL: [(f64, &str); 5] = [
    (1.0, "B"),
    (1e3, "kB"),
    (1e6, "MB"),
    (1e9, "GB"),
    (1e12, "TB"),
];

const HERTZ: [(f64, &str); 4] = [(1.0, "Hz"), (1e3, "kHz"), (1e6, "MHz"), (1e9, "GHz")];

const TIME: [(f64, &str, &str); 5] = [
    (0.001, "ms", "milliseconds"),
    (1.0, "s", "seconds"),
    (60.0, "min", "minutes"),
    (3600.0, "h", "hours"),
    (86400.0, "days", "days"),
];

/// With one decimal below a hundred, without one above; no ".0" where the number is whole.
fn short(value: f64) -> String {
    if value.abs() >= 99.95 {
        return format!("{value:.0}");
    }
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text).to_owned();
    if text == "-0" {
        "0".to_owned()
    } else {
        text
    }
}

/// The number with one decimal, with two, and without any.
fn roundings(value: f64) -> Vec<String> {
    vec![
        short(value),
        format!("{value:.1}"),
        format!("{value:.2}"),
        format!("{value:.0}"),
    ]
}

/// In the largest unit of which there is at least one.
fn fitting(value: f64, units: &Units, after: &str) -> String {
    let (size, unit) = unit_for(value, units);
    format!("{} {unit}{after}", short(value / size))
}

fn unit_for(value: f64, units: &Units) -> (f64, &'static str) {
    let mut chosen = units.first().copied().unwrap_or((1.0, ""));
    for pair in units.windows(2) {
        // What would be rounded to "1024 MiB" is "1 GiB".
        if let [(smaller, _), next @ (size, _)] = pair {
            if value + smaller / 2.0 >= *size {
                chosen = *next;
            }
        }
    }
    chosen
}

fn scaled(out: &mut Vec<String>, value: f64, units: &Units, after: &str) {
    let (size, _) = unit_for(value, units);
    for &(unit_size, unit) in units {
        // The next smaller unit is right, too: 0.5 GiB, 512 MiB.
        if unit_size <= size && unit_size * 2000.0 > size {
            for number in roundings(value / unit_size) {
                out.push(format!("{number} {unit}{after}"));
                out.push(format!("{number}{unit}{after}"));
                if let Some(bare) = after.strip_prefix('/') {
                    let word = if bare == "s" { "second" } else { bare };
                    out.push(format!("{number} {unit} per {word}"));
                    out.push(format!("{number} {unit} a {word}"));
                }
            }
        }
    }
}

/// The number and the unit in which a time is written.
fn time(value: f64) -> (f64, &'static str) {
    let (size, unit) = match value {
        v if v < 0.9995 => (0.001, "ms"),
        v if v < 120.0 => (1.0, "s"),
        v if v < 7200.0 => (60.0, "min"),
        v if v < 172_800.0 => (3600.0, "h"),
        _ => (86400.0, "days"),
    };
    (value / size, unit)
}

fn seconds(out: &mut Vec<String>, value: f64) {
    let (_, fitting) = time(value);
    let place = TIME.iter().position(|(_, unit, _)| *unit == fitting);
    let place = place.unwrap_or(1);
    for &(size, unit, word) in TIME.get(place.saturating_sub(1)..=place).unwrap_or(&TIME) {
        for number in roundings(value / size) {
            out.push(format!("{number} {unit}"));
            out.push(format!("{number}{unit}"));
            out.push(format!("{number} {word}"));
            if number == "1" {
                out.push(format!("1 {}", word.strip_suffix('s').unwrap_or(word)));
            }
        }
    }
}

/// With commas between thousands.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_written_for_people() {
        use Quantity as Q;
        for (quantity, text) in [
            (Q::Bytes(0), "0 B"),
            (Q::Bytes(1023), "1023 B"),
            (Q::Bytes(1024), "1 KiB"),
            (Q::Bytes(1_048_575), "1 MiB"),
            (Q::Bytes(16_750_372_454), "15.6 GiB"),
            (Q::Bytes(u64::MAX), "16777216 TiB"),
            (Q::BytesPerSecond(0.0), "0 B/s"),
            (Q::BytesPerSecond(157_286_400.0), "150 MiB/s"),
            (Q::Percent(61.04), "61 %"),
            (Q::Percent(0.25), "0.2 %"),
            (Q::Percent(99.96), "100 %"),
            (Q::Percent(-0.01), "0 %"),
            (Q::Count(212), "212"),
            (Q::PerSecond(12.5), "12.5/s"),
            (Q::Number(2.346), "2.35"),
            (Q::Seconds(0.02), "20 ms"),
            (Q::Seconds(1.0), "1 s"),
            (Q::Seconds(119.0), "119 s"),
            (Q::Seconds(300.0), "5 min"),
            (Q::Seconds(10_800.0), "3 h"),
            (Q::Seconds(864_000.0), "10 days"),
            (Q::Celsius(94.6), "95 °C"),
            (Q::Hertz(2_400_000_000), "2.4 GHz"),
            (Q::Hertz(800_000_000), "800 MHz"),
            (Q::Watts(9.51), "9.5 W"),
            (Q::Decibels(-82.0), "-82 dBm"),
        ] {
            assert_eq!(quantity.to_string(), text);
            assert_eq!(quantity.spellings().first().unwrap(), text);
        }
    }

    #[test]
    fn right_spellings_are_known_and_wrong_ones_are_not() {
        let bytes = Quantity::Bytes(16_750_372_454).spellings();
        for right in [
            "15.6 GiB",
            "15.6GiB",
            "16 GiB",
            "16.8 GB",
            "17 GB",
            "15974 MiB",
        ] {
            assert!(bytes.iter().any(|s| s == right), "{right}: {bytes:?}");
        }
        for wrong in ["15.6 GB", "15.6 MiB", "15.6", "15.6 %", "61 %"] {
            assert!(!bytes.iter().any(|s| s == wrong), "{wrong}");
        }
        let percent = Quantity::Percent(61.04).spellings();
        for right in ["61 %", "61%", "61 percent", "61.0%", "61.04 %"] {
            assert!(percent.iter().any(|s| s == right), "{right}: {percent:?}");
        }
        let time = Quantity::Seconds(300.0).spellings();
        for right in ["5 min", "5 minutes", "300 s", "300 seconds"] {
            assert!(time.iter().any(|s| s == right), "{right}: {time:?}");
        }
        assert!(Quantity::Seconds(60.0)
            .spellings()
            .iter()
            .any(|s| s == "60 s"));
        assert!(Quantity::Count(12_345)
            .spellings()
            .iter()
            .any(|s| s == "12,345"));
    }

    #[test]
    fn a_quantity_says_its_unit_in_json() {
        let json = serde_json::to_string(&Quantity::Bytes(5)).unwrap();
        assert_eq!(json, r#"{"unit":"bytes","value":5}"#);
        let back: Quantity = serde_json::from_str(&json).unwrap();
        assert_eq!(back, Quantity::Bytes(5));
    }
}
