//! Durations and sizes as they are typed: `60s`, `1GiB`.

use std::time::Duration;

/// `250ms`, `60s`, `2m`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let seconds = amount(text, &units).ok_or("a duration is a number with its unit: 250ms, 60s, 2m, 1h")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// `512MiB`, `1GiB`, `2GB`.
pub(super) fn bytes(text: &str) -> Result<usize, String> {
    let (k, m) = (1024.0, 1024.0 * 1024.0);
    let units = [("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("KiB", k), ("MiB", m), ("GiB", k * m)];
    let bytes = amount(text, &units).ok_or("a size is a number with its unit: 512MiB, 1GiB, 2GB")?;
    Ok(bytes as usize)
}

fn amount(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    let number: f64 = number.parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_needs_its_unit() {
        assert_eq!(duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(bytes("1GiB"), Ok(1 << 30));
        assert_eq!(bytes("2GB"), Ok(2_000_000_000));
        for wrong in ["", "60", "s", "-1s", "1e999s", "NaNs", "5 parsecs"] {
            assert!(duration(wrong).is_err(), "{wrong}");
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
