// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Numbers of a range, as texts of a grammar.

/// Most digits of a number without a bound.
const DIGITS: usize = 15;
/// Digits behind the point.
const FRACTION: &str = r#"("." [0-9]{1,15})?"#;
/// The same, not all of them 0.
const MORE_THAN_WHOLE: &str = r#""." [0-9]{0,14} [1-9]"#;

/// Integers from `least` to `most`. `None` if there are none.
pub(super) fn integers(least: Option<i64>, most: Option<i64>) -> Option<String> {
    let mut ways = Vec::new();
    if least.is_none_or(|least| least < 0) {
        let from = most.map_or(1, |most| (-most).max(1));
        if let Some(digits) = magnitudes(from, least.map(|least| -least)) {
            ways.push(format!(r#""-" ({digits})"#));
        }
    }
    if most.is_none_or(|most| most >= 0) {
        ways.extend(magnitudes(least.unwrap_or(0).max(0), most));
    }
    (!ways.is_empty()).then(|| ways.join(" | "))
}

/// Numbers between two, which belong to it or not. `None` if there are none.
pub(super) fn numbers(low: Option<(i64, bool)>, high: Option<(i64, bool)>) -> Option<String> {
    let zero = (0, true);
    let mut ways = Vec::new();
    if low.is_none_or(|(low, _)| low < 0) {
        // A minus in front of zero is no harm, unless zero itself is not meant.
        let from = match high {
            Some((high, with)) if high <= 0 => (-high, with),
            _ => zero,
        };
        let to = low.map(|(low, with)| (-low, with));
        if let Some(rule) = sizes(from, to) {
            ways.push(format!(r#""-" ({rule})"#));
        }
    }
    if high.is_none_or(|(high, with)| high > 0 || (high == 0 && with)) {
        let from = low.filter(|(low, _)| *low >= 0).unwrap_or(zero);
        ways.extend(sizes(from, high));
    }
    (!ways.is_empty()).then(|| ways.join(" | "))
}

/// Numbers without a sign.
fn sizes((from, with): (i64, bool), to: Option<(i64, bool)>) -> Option<String> {
    let mut ways = Vec::new();
    let last_whole = to.map(|(to, _)| to - 1);
    let mut first = from;
    if !with {
        // Behind the first one, which does not belong to it.
        if last_whole.is_none_or(|last| from <= last) {
            ways.push(format!(r#""{from}" {MORE_THAN_WHOLE}"#));
        }
        first += 1;
    }
    if let Some(whole) = magnitudes(first, last_whole) {
        ways.push(format!("({whole}) {FRACTION}"));
    }
    if let Some((to, true)) = to {
        if to > from || (to == from && with) {
            ways.push(format!(r#""{to}" ("." "0"{{1,3}})?"#));
        }
    }
    (!ways.is_empty()).then(|| ways.join(" | "))
}

/// Whole numbers without a sign. `None` if there are none.
fn magnitudes(from: i64, to: Option<i64>) -> Option<String> {
    let from = from.max(0);
    if to.is_some_and(|to| to < from) {
        return None;
    }
    let mut ways = Vec::new();
    let lowest = from.to_string();
    let highest = match to {
        Some(to) => to.to_string(),
        None => "9".repeat(DIGITS.max(lowest.len())),
    };
    for len in lowest.len()..=highest.len() {
        let low = match len == lowest.len() {
            true => lowest.clone(),
            false => format!("1{}", "0".repeat(len - 1)),
        };
        let high = match len == highest.len() {
            true => highest.clone(),
            false => "9".repeat(len),
        };
        // Without a bound all longer ones are one way.
        if to.is_none() && len > lowest.len() {
            ways.push(format!("[1-9] [0-9]{{{},{}}}", len - 1, highest.len() - 1));
            break;
        }
        between(low.as_bytes(), high.as_bytes(), "", &mut ways);
    }
    Some(ways.join(" | "))
}

/// Texts of digits between two of the same length, both included.
fn between(low: &[u8], high: &[u8], before: &str, ways: &mut Vec<String>) {
    let ([l, low @ ..], [h, high @ ..]) = (low, high) else {
        ways.push(before.trim_end().to_owned());
        return;
    };
    let any = |digits: &[u8], digit: u8| digits.iter().all(|d| *d == digit);
    if any(low, b'0') && any(high, b'9') {
        let rest = match low.len() {
            0 => String::new(),
            n => format!(" [0-9]{{{n}}}"),
        };
        ways.push(format!("{before}{}{rest}", class(*l, *h)));
        return;
    }
    if l == h {
        between(low, high, &format!("{before}{} ", class(*l, *l)), ways);
        return;
    }
    between(
        &[&[*l], low].concat(),
        &[&[*l], &nines(low)[..]].concat(),
        before,
        ways,
    );
    if l + 1 < *h {
        let zeros = vec![b'0'; low.len()];
        let low = [&[l + 1], &zeros[..]].concat();
        between(&low, &[&[h - 1], &nines(high)[..]].concat(), before, ways);
    }
    let zeros = vec![b'0'; low.len()];
    between(
        &[&[*h], &zeros[..]].concat(),
        &[&[*h], high].concat(),
        before,
        ways,
    );
}

fn nines(digits: &[u8]) -> Vec<u8> {
    vec![b'9'; digits.len()]
}

fn class(from: u8, to: u8) -> String {
    match from == to {
        true => format!("\"{}\"", char::from(from)),
        false => format!("[{}-{}]", char::from(from), char::from(to)),
    }
}
