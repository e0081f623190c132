//! Values that are written once in a run and never again.
//!
//! A read that returns a value then names the one call that wrote it, which is what makes histories cheap to judge and
//! counterexamples short. The value tells its writer: 17003 is the 17th value of client 3. Invariant: no value is zero,
//! so none can be taken for an initial one. Deliberately absent: a counter shared by the clients, which would make one
//! client's values depend on how fast the others are.

use checker::history::Value;

/// The most clients that a workload can have.
pub const CLIENTS_MAX: usize = 1000;

/// The values of every client.
#[derive(Debug)]
pub(crate) struct Values {
    drawn: Vec<i64>,
}

impl Values {
    /// The values for so many clients.
    pub(crate) fn new(clients: usize) -> Result<Self, String> {
        if clients > CLIENTS_MAX {
            return Err(format!("{clients} clients are more than {CLIENTS_MAX}"));
        }
        Ok(Self { drawn: vec![0; clients] })
    }

    /// A value that no client has written before.
    pub(crate) fn fresh(&mut self, client: usize) -> Value {
        self.drawn[client] += 1;
        Value::Int(self.drawn[client] * CLIENTS_MAX as i64 + client as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_values_are_equal_and_none_is_zero() {
        let mut values = Values::new(CLIENTS_MAX).unwrap();
        let mut seen = BTreeSet::new();
        for round in 0..50 {
            for client in 0..CLIENTS_MAX {
                let Value::Int(value) = values.fresh(client) else { panic!("not an integer") };
                assert_ne!(value, 0);
                assert!(seen.insert(value), "{value} came twice, in round {round}");
            }
        }
    }

    #[test]
    fn a_value_names_its_writer() {
        let mut values = Values::new(10).unwrap();
        let last = (0..17).map(|_| values.fresh(3)).last();
        assert_eq!(last, Some(Value::Int(17003)));
    }

    #[test]
    fn more_clients_than_values_can_tell_apart_are_refused() {
        assert!(Values::new(CLIENTS_MAX + 1).unwrap_err().contains("1001"));
    }
}
