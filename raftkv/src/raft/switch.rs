//! The types of the values that a rule can have, and how they are read and written as text.
//!
//! Invariant: `parse(&text()) == Some(self)` for every value. Nothing here knows what a rule means.

use std::fmt::Debug;

/// A type whose values can be written in a suite file.
pub trait Switch: Sized + Clone + Debug + PartialEq {
    /// What may be written, for messages and the reference page.
    fn values() -> Vec<&'static str>;
    /// Reads a value.
    fn parse(text: &str) -> Option<Self>;
    /// Writes it.
    fn text(&self) -> String;
}

/// Defines an enum of the values of a rule: words, and behind `or` what holds another value, with the prefix that it is
/// written with and an example.
macro_rules! switch {
    ($(#[$doc:meta])* $name:ident { $( $(#[$vdoc:meta])* $variant:ident = $text:literal, )* }
     $( or { $( $(#[$hdoc:meta])* $held:ident($inner:ty) = $prefix:literal $example:literal, )* } )?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $( $(#[$vdoc])* $variant, )*
            $( $( $(#[$hdoc])* $held($inner), )* )?
        }

        impl Switch for $name {
            fn values() -> Vec<&'static str> {
                vec![ $( $text, )* $( $( concat!($prefix, $example), )* )? ]
            }
            fn parse(text: &str) -> Option<Self> {
                match text {
                    $( $text => return Some(Self::$variant), )*
                    _ => {}
                }
                $( $(
                    if let Some(held) = text.strip_prefix($prefix).and_then(<$inner as Switch>::parse) {
                        return Some(Self::$held(held));
                    }
                )* )?
                None
            }
            fn text(&self) -> String {
                match self {
                    $( Self::$variant => $text.to_owned(), )*
                    $( $( Self::$held(held) => format!(concat!($prefix, "{}"), held.text()), )* )?
                }
            }
        }
    };
}
pub(crate) use switch;

impl Switch for bool {
    fn values() -> Vec<&'static str> {
        vec!["true", "false"]
    }
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn text(&self) -> String {
        self.to_string()
    }
}

switch! {
    /// A mechanism that is there or not.
    Toggle {
        /// It works.
        On = "on",
        /// It is left out.
        Off = "off",
    }
}

/// A number of something, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub usize);

impl Switch for Count {
    fn values() -> Vec<&'static str> {
        vec!["a number >= 1"]
    }
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|&count| count >= 1).map(Self)
    }
    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// A duration of at least one millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millis(pub u64);

/// Durations above an hour are taken for a mistake in the unit.
const MILLIS_MAX: u64 = 3_600_000;

impl Switch for Millis {
    fn values() -> Vec<&'static str> {
        vec!["a duration such as 50ms, at most 1 h"]
    }
    fn parse(text: &str) -> Option<Self> {
        let (digits, factor) = match text.strip_suffix("ms") {
            Some(digits) => (digits, 1),
            None => text.strip_suffix('s').map_or((text, 1), |digits| (digits, 1000)),
        };
        let millis = digits.trim().parse::<u64>().ok()?.checked_mul(factor)?;
        (1..=MILLIS_MAX).contains(&millis).then_some(Self(millis))
    }
    fn text(&self) -> String {
        format!("{}ms", self.0)
    }
}

/// A range of durations, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MillisRange {
    /// The shortest.
    pub min: u64,
    /// The longest.
    pub max: u64,
}

impl Switch for MillisRange {
    fn values() -> Vec<&'static str> {
        vec!["a range such as 150ms..300ms"]
    }
    fn parse(text: &str) -> Option<Self> {
        let (min, max) =
            text.split_once("..").or_else(|| text.split_once('-')).or_else(|| text.split_once('–'))?;
        let (min, max) = (Millis::parse(min.trim())?.0, Millis::parse(max.trim())?.0);
        (min <= max).then_some(Self { min, max })
    }
    fn text(&self) -> String {
        format!("{}ms..{}ms", self.min, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_bounds() {
        assert_eq!(Millis::parse("50"), Some(Millis(50)));
        assert_eq!(Millis::parse("50ms"), Some(Millis(50)));
        assert_eq!(Millis::parse("2s"), Some(Millis(2000)));
        for bad in ["0", "-1", "ms", "5 years", "1h", "99999999s", "18446744073709551615s"] {
            assert_eq!(Millis::parse(bad), None, "{bad}");
        }
        assert_eq!(MillisRange::parse("150-300"), Some(MillisRange { min: 150, max: 300 }));
        assert_eq!(MillisRange::parse("150ms..300ms"), Some(MillisRange { min: 150, max: 300 }));
        assert_eq!(MillisRange::parse("300..150"), None);
    }

    #[test]
    fn counts_begin_with_one() {
        assert_eq!(Count::parse("0"), None);
        assert_eq!(Count::parse("1"), Some(Count(1)));
    }
}
