//! Texts with a unit: durations, rates, ratios, counts, ranges, bounds.
//!
//! Invariant: pure functions from text to a value or to a sentence that says what is wrong and, where it is clear, what
//! was meant; none panics or rounds silently. Deliberately absent: positions, which the caller adds, and the units of a
//! calendar.

use super::model::Comparison;

/// Why a text is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    /// What is wrong, for the label under the caret.
    pub(super) why: String,
    /// What was probably meant.
    pub(super) meant: Option<String>,
}

impl Malformed {
    fn because(why: impl Into<String>) -> Self {
        Self { why: why.into(), meant: None }
    }

    fn meant(mut self, meant: impl Into<String>) -> Self {
        self.meant = Some(meant.into());
        self
    }
}

type Read<T> = Result<T, Malformed>;

/// The units, longest first, so that `ms` is not read as `m` and a rest.
const UNITS: [(&str, f64); 6] =
    [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];

/// Other names of the units, for suggestions only.
const UNIT_TWINS: [(&str, &str); 17] = [
    ("nanos", "ns"),
    ("micros", "us"),
    ("µs", "us"),
    ("μs", "us"),
    ("millis", "ms"),
    ("msec", "ms"),
    ("msecs", "ms"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("min", "m"),
    ("mins", "m"),
    ("minute", "m"),
    ("minutes", "m"),
    ("hour", "h"),
    ("hours", "h"),
];

/// The longest duration: 1000 days. Sums of some of them still fit into 64 bits.
const DURATION_MAX_NS: f64 = 1000.0 * 24.0 * 3600e9;

const UNITS_TEXT: &str = "ns, us, ms, s, m or h";

/// `250ms`, `1.5s`, `1m30s` in nanoseconds.
pub(super) fn duration(text: &str) -> Read<u64> {
    if text.parse::<f64>().is_ok_and(f64::is_finite) && !text.starts_with(['-', '+']) {
        let why = format!("a duration needs a unit: {UNITS_TEXT}");
        return Err(Malformed::because(why).meant(format!("{text}s")));
    }
    let mut rest = text;
    let mut total_ns = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| not_a_duration(text))?;
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(unknown_unit(text, unit));
        };
        total_ns += number * factor;
        rest = tail;
    }
    if text.is_empty() {
        return Err(not_a_duration(text));
    }
    if total_ns > DURATION_MAX_NS {
        return Err(Malformed::because("longer than 1000 days"));
    }
    Ok(total_ns.round() as u64)
}

fn not_a_duration(text: &str) -> Malformed {
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let error = Malformed::because("expected a duration such as `250ms`, `2s` or `1m30s`");
    if compact != text && duration(&compact).is_ok() { error.meant(compact) } else { error }
}

fn unknown_unit(text: &str, unit: &str) -> Malformed {
    let trimmed = unit.trim();
    let lower = trimmed.to_ascii_lowercase();
    let known = UNITS.iter().map(|(name, _)| *name).find(|name| *name == lower);
    let twin = known.or_else(|| UNIT_TWINS.iter().find(|(twin, _)| *twin == lower).map(|(_, name)| *name));
    let error = match trimmed {
        "" => return not_a_duration(text),
        _ => Malformed::because(format!("`{trimmed}` is not a unit of time; there are {UNITS_TEXT}")),
    };
    match twin.map(|name| text.replacen(unit, name, 1).replace(' ', "")) {
        Some(meant) if duration(&meant).is_ok() => error.meant(meant),
        _ => error,
    }
}

/// `2s..8s`, or a duration alone.
pub(super) fn duration_range(text: &str) -> Read<(u64, u64)> {
    let Some((low, high)) = text.split_once("..") else {
        return duration(text).map(|both| (both, both));
    };
    let (low, high) = (low.trim(), high.trim());
    if low.is_empty() || high.is_empty() {
        return Err(Malformed::because("a range has two ends: `2s..8s`"));
    }
    let read = (duration(low), duration(high));
    let (low_ns, high_ns) = match read {
        (Ok(low), Ok(high)) => (low, high),
        (low_read, high_read) => {
            let repaired = |text: &str, read: &Read<u64>| match read {
                Ok(_) => Some(text.to_owned()),
                Err(error) => error.meant.clone(),
            };
            // In `2..8s` the unit of the high end was meant for both.
            let shared = high.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
            let low_meant = match low.parse::<f64>() {
                Ok(_) if high_read.is_ok() => Some(format!("{low}{shared}")),
                _ => repaired(low, &low_read),
            };
            let meant = low_meant.zip(repaired(high, &high_read)).map(|(low, high)| format!("{low}..{high}"));
            let why = low_read.err().or(high_read.err()).map_or_else(String::new, |error| error.why);
            return Err(Malformed { why, meant });
        }
    };
    if low_ns > high_ns {
        return Err(Malformed::because("the low end lies above the high end").meant(format!("{high}..{low}")));
    }
    Ok((low_ns, high_ns))
}

/// The units of bytes, longest first, so that `KiB` is not read as `B` and a rest.
const BYTE_UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];

/// `64MiB`.
pub(super) fn bytes(text: &str) -> Read<u64> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim_end();
    let unit = text[number.len()..].trim_start();
    let found = BYTE_UNITS.iter().find(|(name, _)| *name == unit);
    let times = |size: u64| number.parse::<u64>().ok()?.checked_mul(size);
    match found.and_then(|(_, size)| times(*size)) {
        Some(bytes) if number.len() + unit.len() == text.len() => Ok(bytes),
        _ => {
            let error = Malformed::because("expected a number of bytes with its unit: B, KiB, MiB or GiB");
            // `64MB`, `64 mib`, `64M`; a bare number does not say what was meant.
            let alike = |name: &str| {
                let (name, given) = (name.to_lowercase(), unit.to_lowercase());
                given == name || given == name.replace('i', "") || given == name[..1]
            };
            let meant = BYTE_UNITS.iter().find(|(name, _)| alike(name));
            match meant.filter(|(_, size)| times(*size).is_some()) {
                Some((name, _)) => Err(error.meant(format!("{number}{name}"))),
                None => Err(error),
            }
        }
    }
}

/// A whole number within bounds.
pub(super) fn count(text: &str, min: u64, max: u64) -> Read<u64> {
    let expected = match max {
        u64::MAX => format!("expected a whole number from {min}"),
        _ => format!("expected a whole number from {min} to {max}"),
    };
    let compact = text.replace(['_', ',', ' '], "");
    match text.parse::<u64>() {
        Ok(number) if (min..=max).contains(&number) && !text.starts_with('+') => Ok(number),
        Ok(_) => Err(Malformed::because(expected)),
        Err(_) if compact.parse::<u64>().is_ok_and(|number| (min..=max).contains(&number)) => {
            Err(Malformed::because(expected).meant(compact))
        }
        Err(_) => Err(Malformed::because(expected)),
    }
}

/// `400/s` per second.
pub(super) fn rate(text: &str) -> Read<f64> {
    let expected = || Malformed::because("expected operations per time such as `400/s`");
    let Some((number, unit)) = text.split_once('/') else {
        return Err(match text.parse::<f64>() {
            Ok(number) if number.is_finite() && number > 0.0 => expected().meant(format!("{text}/s")),
            _ => expected(),
        });
    };
    let Some((_, unit_ns)) = UNITS.iter().find(|(name, _)| *name == unit && matches!(*name, "s" | "m" | "h"))
    else {
        let twin = UNIT_TWINS.iter().find(|(twin, _)| *twin == unit).map(|(_, name)| *name);
        let error = Malformed::because(format!("a rate is per s, m or h, not per `{unit}`"));
        return Err(match twin {
            Some(unit) if number.parse::<f64>().is_ok() => error.meant(format!("{number}/{unit}")),
            _ => error,
        });
    };
    match number.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 && number <= 1e9 => Ok(number * 1e9 / unit_ns),
        Ok(_) => Err(Malformed::because("a rate lies above 0 and below 1000000000")),
        Err(_) => Err(expected()),
    }
}

/// `0.25` or `25%`.
pub(super) fn ratio(text: &str) -> Read<f64> {
    let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |number| (number.trim_end(), 100.0));
    match number.parse::<f64>() {
        Ok(number) if number.is_finite() && (0.0..=scale).contains(&number) => Ok(number / scale),
        Ok(number) if scale == 1.0 && (1.0..=100.0).contains(&number) => {
            Err(Malformed::because("a ratio lies between 0 and 1, or is a percentage")
                .meant(format!("{text}%")))
        }
        Ok(_) => Err(Malformed::because("a ratio lies between 0 and 1, or between 0% and 100%")),
        Err(_) => Err(Malformed::because("expected a ratio such as `0.25` or `25%`")),
    }
}

/// `count>=5000` as its three parts.
pub(super) fn bound(text: &str) -> Read<(&str, Comparison, &str)> {
    // Two characters before one, so that `>=` is not read as `>`.
    const SIGNS: [(&str, Comparison); 5] = [
        (">=", Comparison::AtLeast),
        ("<=", Comparison::AtMost),
        ("==", Comparison::Exactly),
        (">", Comparison::Above),
        ("<", Comparison::Below),
    ];
    let position = text.find(['<', '>', '=']).unwrap_or(text.len());
    let (aggregate, rest) = text.split_at(position);
    for (sign, comparison) in SIGNS {
        if let Some(value) = rest.strip_prefix(sign) {
            return Ok((aggregate.trim(), comparison, value.trim()));
        }
    }
    let error = Malformed::because("expected a bound such as `count>=5000` or `max<8s`");
    Err(match rest.strip_prefix('=') {
        Some(value) => error.meant(format!("{}=={}", aggregate.trim(), value.trim())),
        None => error,
    })
}

/// Nanoseconds as one writes them: `1m30s`, `250ms`.
pub(super) fn duration_text(mut ns: u64) -> String {
    if ns == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, factor) in UNITS.iter().rev() {
        let factor = *factor as u64;
        if ns >= factor {
            text.push_str(&format!("{}{unit}", ns / factor));
            ns %= factor;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const S: u64 = 1000 * MS;

    #[test]
    fn durations() {
        for (text, ns) in [
            ("0s", 0),
            ("7ns", 7),
            ("3us", 3000),
            ("250ms", 250 * MS),
            ("2s", 2 * S),
            ("1.5s", 1500 * MS),
            ("1m30s", 90 * S),
            ("1h", 3600 * S),
        ] {
            assert_eq!(duration(text), Ok(ns), "{text}");
        }
    }

    #[test]
    fn every_duration_is_read_back() {
        for ns in [0, 1, 999, MS, 90 * S, 3600 * S, 3_723_004_005_006, 24 * 3600 * S] {
            assert_eq!(duration(&duration_text(ns)), Ok(ns), "{}", duration_text(ns));
        }
    }

    #[test]
    fn wrong_durations_say_what_was_meant() {
        for (text, meant) in [
            ("5", Some("5s")),
            ("0.5", Some("0.5s")),
            ("5 s", Some("5s")),
            ("5sec", Some("5s")),
            ("2 minutes", Some("2m")),
            ("100MS", Some("100ms")),
            ("10µs", Some("10us")),
            ("", None),
            ("s", None),
            ("-5s", None),
            ("5d", None),
            ("1..2s", None),
            ("5s5", None),
            ("99999999h", None),
            ("1e3s", None),
            ("五秒", None),
        ] {
            assert_eq!(duration(text).expect_err(text).meant.as_deref(), meant, "{text}");
        }
    }

    #[test]
    fn ranges() {
        assert_eq!(duration_range("2s..8s"), Ok((2 * S, 8 * S)));
        assert_eq!(duration_range("250ms .. 1s"), Ok((250 * MS, S)));
        assert_eq!(duration_range("3s"), Ok((3 * S, 3 * S)));
        for (text, meant) in [
            ("2..8s", Some("2s..8s")),
            ("8s..2s", Some("2s..8s")),
            ("2..8", Some("2s..8s")),
            ("2s..", None),
            ("..", None),
            ("a..b", None),
        ] {
            assert_eq!(duration_range(text).expect_err(text).meant.as_deref(), meant, "{text}");
        }
    }

    #[test]
    fn rates_ratios_and_counts() {
        assert_eq!(rate("400/s"), Ok(400.0));
        assert_eq!(rate("30/m"), Ok(0.5));
        assert_eq!(rate("400").unwrap_err().meant.as_deref(), Some("400/s"));
        assert_eq!(rate("400/sec").unwrap_err().meant.as_deref(), Some("400/s"));
        for text in ["0/s", "-1/s", "inf/s", "nan/s", "/s", "400/", "400/ms", "1e99/s"] {
            assert!(rate(text).is_err(), "{text}");
        }
        assert_eq!(ratio("0.25"), Ok(0.25));
        assert_eq!(ratio("25%"), Ok(0.25));
        assert_eq!(ratio("25").unwrap_err().meant.as_deref(), Some("25%"));
        for text in ["1.1", "101%", "-0.1", "nan", "inf", "", "%"] {
            assert!(ratio(text).is_err(), "{text}");
        }
        assert_eq!(count("5", 1, 9), Ok(5));
        assert_eq!(count("5_000", 1, 9000).unwrap_err().meant.as_deref(), Some("5000"));
        for text in ["0", "10", "-1", "+5", "5.0", "five", "", "99999999999999999999999"] {
            assert!(count(text, 1, 9).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_of_bytes() {
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("17B"), Ok(17));
        for (text, meant) in [
            ("64MB", Some("64MiB")),
            ("64 mib", Some("64MiB")),
            ("64 MiB", Some("64MiB")),
            ("2g", Some("2GiB")),
            ("64", None),
            ("-1B", None),
            ("1.5GiB", None),
            ("99999999999GiB", None),
            ("", None),
            ("many", None),
        ] {
            assert_eq!(bytes(text).unwrap_err().meant.as_deref(), meant, "{text}");
        }
    }

    #[test]
    fn bounds() {
        assert_eq!(bound("count>=5000"), Ok(("count", Comparison::AtLeast, "5000")));
        assert_eq!(bound("max < 8s"), Ok(("max", Comparison::Below, "8s")));
        assert_eq!(bound("count=5").unwrap_err().meant.as_deref(), Some("count==5"));
        assert!(bound("5000").is_err());
    }
}
