//! Values as JSON has them.

use serde::Deserialize;
use serde::de::{self, SeqAccess, Visitor};

use crate::history::Value;

/// Tells `"value":null` (nil) from no `value` at all, which `Option` alone does not.
pub(super) fn present<'de, D: de::Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// A value; `true` is told apart by [`Seen`].
#[derive(Clone)]
pub(super) struct Scalar(pub(super) Value);

/// What a CAS found.
pub(super) enum Seen {
    Told(Scalar),
    Untold,
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ValueVisitor).map(Scalar)
    }
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SeenVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("null, a 64-bit integer, a string, or a list of these")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Value, E> {
        Ok(Value::Int(n))
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Value, E> {
        i64::try_from(n).map(Value::Int).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(n), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Scalar>()? {
            list.push(item.0);
        }
        Ok(Value::List(list))
    }
}

struct SeenVisitor;

impl<'de> Visitor<'de> for SeenVisitor {
    type Value = Seen;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("true, or the value that was found")
    }

    fn visit_bool<E: de::Error>(self, told: bool) -> Result<Seen, E> {
        match told {
            true => Ok(Seen::Untold),
            false => Err(E::invalid_value(de::Unexpected::Bool(false), &self)),
        }
    }

    fn visit_unit<E: de::Error>(self) -> Result<Seen, E> {
        ValueVisitor.visit_unit().map(Scalar).map(Seen::Told)
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Seen, E> {
        ValueVisitor.visit_i64(n).map(Scalar).map(Seen::Told)
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Seen, E> {
        ValueVisitor.visit_u64(n).map(Scalar).map(Seen::Told)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Seen, E> {
        ValueVisitor.visit_str(text).map(Scalar).map(Seen::Told)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Seen, A::Error> {
        ValueVisitor.visit_seq(items).map(Scalar).map(Seen::Told)
    }
}
