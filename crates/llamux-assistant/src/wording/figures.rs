// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Figures, as they are written in a text.

use super::words::among;

/// A number with the unit in which it is written; no unit for a count.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Number {
    pub(super) value: f64,
    pub(super) unit: String,
    pub(super) written: String,
    /// The word behind a count: what is counted.
    pub(super) counted: Option<String>,
    /// The word before it.
    pub(super) before: Option<String>,
}

/// Units, each with the ways to write it.
const UNITS: &[(&str, &str)] = &[
    ("%", "% percent"),
    ("B", "B byte bytes"),
    ("KiB", "KiB kibibytes"),
    ("MiB", "MiB mebibytes"),
    ("GiB", "GiB gibibytes"),
    ("TiB", "TiB tebibytes"),
    ("kB", "kB KB kilobytes"),
    ("MB", "MB megabytes"),
    ("GB", "GB gigabytes"),
    ("TB", "TB terabytes"),
    ("ms", "ms millisecond milliseconds"),
    ("s", "s sec secs second seconds"),
    ("min", "min mins minute minutes"),
    ("h", "h hr hrs hour hours"),
    ("days", "d day days"),
    ("weeks", "week weeks month months year years"),
    ("°C", "°C C degrees"),
    ("°F", "°F F fahrenheit"),
    ("Hz", "Hz hertz"),
    ("kHz", "kHz"),
    ("MHz", "MHz"),
    ("GHz", "GHz gigahertz"),
    ("W", "W watt watts"),
    ("dBm", "dBm dB"),
    // What nobody can tell the size of.
    ("K?", "K k"),
    ("M?", "M m"),
    ("G?", "G g gigs"),
    ("T?", "T t"),
    ("x", "x × fold"),
];

/// The figures that begin with this word, how many words behind it belong to them, and whether they are rates.
pub(super) fn figures<'w>(
    word: &str,
    token: &str,
    next: &dyn Fn(usize) -> Option<&'w str>,
) -> Option<(Vec<Number>, usize, bool)> {
    let plain = |value: f64, unit: &str, written: &str| Number {
        value,
        unit: unit.to_owned(),
        written: written.to_owned(),
        counted: None,
        before: None,
    };
    if !word.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    // 61%, 15.6GiB, 100MiB/s
    let digits = word.find(|c: char| {
        !(c.is_ascii_digit() || matches!(c, '.' | ',' | '-' | '+' | '~' | '\u{2212}' | '\u{2248}'))
    });
    let (front, back) = word.split_at(digits.unwrap_or(word.len()));
    let (back, mut rate) = match back.strip_suffix("/s") {
        Some(bare) => (bare, true),
        None => (back, false),
    };
    if let (Some(value), false) = (number(front), back.is_empty() && !rate) {
        if back.is_empty() {
            return Some((vec![plain(value, "", word)], 0, rate));
        }
        if let Some(unit) = unit(back) {
            let mut taken = 0;
            rate |= is_rate(next, &mut taken);
            return Some((vec![plain(value, unit, word)], taken, rate));
        }
    }
    // 15.6/16
    let several: Vec<_> = word.split('/').map(number).collect();
    let mut values: Vec<f64> = match several.into_iter().collect::<Option<Vec<_>>>() {
        Some(values) if values.len() <= 2 => values,
        _ => {
            // 60-70
            let ends: Option<Vec<_>> = word.split(['-', '\u{2013}']).map(number).collect();
            ends.filter(|ends| ends.len() == 2)?
        }
    };
    let mut taken = 0;
    // 15.6 of 16, 15.6 out of 16
    if !token.ends_with([',', ';', ':', ')']) {
        for (words, at) in [(&["of"][..], 1), (&["out", "of"], 2), (&["/"], 1)] {
            let matches = words
                .iter()
                .enumerate()
                .all(|(at, word)| next(at) == Some(*word));
            let Some(second) = next(at).filter(|_| matches) else {
                continue;
            };
            let digits = second
                .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ',')))
                .unwrap_or(second.len());
            let (front, back) = second.split_at(digits);
            if let Some(value) = number(front) {
                if back.is_empty() {
                    values.push(value);
                    taken = at + 1;
                } else if let Some(unit) = unit(back) {
                    values.push(value);
                    return Some((
                        values
                            .iter()
                            .map(|value| plain(*value, unit, word))
                            .collect(),
                        at + 1,
                        rate,
                    ));
                }
            }
        }
    }
    let mut found = "";
    if !token.ends_with([',', ';', ':', ')']) || taken > 0 {
        if let Some(following) = next(taken) {
            let (following, slash) = match following.strip_suffix("/s") {
                Some(bare) => (bare, true),
                None => (following, false),
            };
            if following == "per" && next(taken + 1) == Some("cent") {
                found = "%";
                taken += 2;
            } else if let Some(unit) = unit(following) {
                found = unit;
                taken += 1;
                rate |= slash;
                if unit == "°C"
                    && next(taken).is_some_and(|word| among(word, "F Fahrenheit fahrenheit"))
                {
                    found = "°F";
                    taken += 1;
                }
            }
            if found != "%" {
                rate |= is_rate(next, &mut taken);
            }
        }
    }
    Some((
        values
            .iter()
            .map(|value| plain(*value, found, word))
            .collect(),
        taken,
        rate,
    ))
}

/// The unit of this spelling.
fn unit(word: &str) -> Option<&'static str> {
    let of = |word: &str| {
        UNITS
            .iter()
            .find(|(_, ways)| among(word, ways))
            .map(|(unit, _)| *unit)
    };
    of(word)
}

/// A number, with commas between thousands perhaps.
pub(super) fn number(text: &str) -> Option<f64> {
    let digits = text
        .strip_prefix(['-', '\u{2212}', '+', '~', '\u{2248}'])
        .unwrap_or(text);
    let starts = digits
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_digit());
    if !starts
        || !digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b',' || byte == b'.')
    {
        return None;
    }
    if digits.matches('.').count() > 1 {
        return None;
    }
    if let Some((_, behind)) = digits.split_once(',') {
        let groups = behind.split('.').next().unwrap_or(behind);
        if !groups.split(',').all(|group| group.len() == 3) {
            return None;
        }
    }
    let value: f64 = digits.replace(',', "").parse().ok()?;
    let negative = text.starts_with(['-', '\u{2212}']);
    Some(if negative { -value } else { value })
}

/// Whether "a second" follows; then it is taken, too.
fn is_rate<'w>(next: &dyn Fn(usize) -> Option<&'w str>, taken: &mut usize) -> bool {
    match (next(*taken), next(*taken + 1)) {
        (Some("per" | "a" | "each" | "every"), Some("second")) => {
            *taken += 2;
            true
        }
        (Some("/s"), _) => {
            *taken += 1;
            true
        }
        _ => false,
    }
}
