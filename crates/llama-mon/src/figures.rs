// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! How figures are written.

use llamux::Between;

/// Bytes, in the unit that fits.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(value < 10.0);
    let unit = UNITS.get(unit).unwrap_or(&"");
    format!("{value:.digits$} {unit}")
}

/// A count that may be large: 134515008 is "135 M".
pub(crate) fn count(count: u64) -> String {
    let value = count as f64;
    match count {
        0..=99_999 => count.to_string(),
        100_000..=9_999_999 => format!("{:.0} k", value / 1e3),
        10_000_000..=9_999_999_999 => format!("{:.0} M", value / 1e6),
        _ => format!("{:.0} G", value / 1e9),
    }
}

/// Tokens a second.
pub(crate) fn speed(speed: Option<f64>) -> String {
    match speed {
        None => "-".to_owned(),
        Some(speed) if speed >= 1000.0 => format!("{speed:.0}"),
        Some(speed) => format!("{speed:.1}"),
    }
}

/// A part of a whole, in percent with one digit; `None` of nothing.
pub(crate) fn percent(part: u64, whole: u64) -> Option<f64> {
    // Only what is all of it is 100.
    let tenths = (u128::from(part) * 1000).checked_div(u128::from(whole))?;
    Some(tenths as f64 / 10.0)
}

/// What is less than a bound: "<128"; or more than all of them: ">=65536"; "-" if there is nothing.
pub(crate) fn under(between: Option<Between>) -> String {
    match between {
        None => "-".to_owned(),
        Some(Between { below: Some(n), .. }) => format!("<{n}"),
        Some(Between { from, below: None }) => format!(">={from}"),
    }
}

/// Microseconds of nanoseconds, or what fits better.
pub(crate) fn duration_ns(ns: u64) -> String {
    let value = ns as f64;
    match ns {
        0..=9_999 => format!("{ns} ns"),
        10_000..=9_999_999 => format!("{:.0} us", value / 1e3),
        10_000_000..=9_999_999_999 => format!("{:.0} ms", value / 1e6),
        _ => format!("{:.0} s", value / 1e9),
    }
}

/// Seconds, as hours and minutes where they are many.
pub(crate) fn seconds(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3599 => format!("{minutes} min {} s", seconds % 60),
        3600..=86399 => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_unit_that_fits() {
        for (value, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (226_959_360, "216 MiB"),
            (1_117_323_264, "1.0 GiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(bytes(value), expected);
        }
        assert_eq!(count(99_999), "99999");
        assert_eq!(count(134_515_008), "135 M");
        assert_eq!(count(1_543_714_304), "1544 M");
        assert_eq!(duration_ns(40_204_980), "40 ms");
        assert_eq!(duration_ns(94_547), "95 us");
        assert_eq!(seconds(3725), "1 h 2 min");
        assert_eq!(
            (speed(None), speed(Some(55.55))),
            ("-".into(), "55.5".into())
        );
    }

    #[test]
    fn percent_of_nothing_is_unknown_and_nearly_all_is_not_all() {
        assert_eq!(percent(0, 0), None);
        assert_eq!(percent(9999, 10_000), Some(99.9));
        assert_eq!(percent(10_000, 10_000), Some(100.0));
        assert_eq!(percent(u64::MAX, u64::MAX), Some(100.0));
    }

    #[test]
    fn what_is_longer_than_all_bounds_says_so() {
        let above = Between {
            from: 65536,
            below: None,
        };
        assert_eq!(under(Some(above)), ">=65536");
        let below = Between {
            from: 64,
            below: Some(128),
        };
        assert_eq!(under(Some(below)), "<128");
        assert_eq!(under(None), "-");
    }
}
