//! As much of nf_tables as the bridge of a run needs: sets of keys, rules that look frames up in them, counters.
//!
//! Invariant: a batch is carried out as a whole, at one instant, or not at all. Deliberately lacks everything but the bridge
//! family: no table of the host, or of a node, is ever named here.
//! Reference: linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h; nft(8) for what the objects mean.

use std::io;

use super::Socket;
use super::message::{self, Request};

/// `struct nfgenmsg` for the bridge family.
const BRIDGE: [u8; 4] = [libc::NFPROTO_BRIDGE as u8, 0, 0, 0];
/// The same for the frame of a batch: the number of the subsystem, the high byte first.
const SUBSYSTEM: [u8; 4] = [0, 0, 0, libc::NFNL_SUBSYS_NFTABLES as u8];

// Attributes of linux/netfilter/nf_tables.h, which libc lacks.
const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_LENGTH: u16 = 5;
const SET_ID: u16 = 10;
const SET_EXPRESSION: u16 = 17;
const ELEMENTS_TABLE: u16 = 1;
const ELEMENTS_SET: u16 = 2;
const ELEMENTS: u16 = 3;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_EXPRESSION: u16 = 7;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const META_REGISTER: u16 = 1;
const META_KEY: u16 = 2;
const PAYLOAD_REGISTER: u16 = 1;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LENGTH: u16 = 4;
const COMPARE_REGISTER: u16 = 1;
const COMPARE_HOW: u16 = 2;
const COMPARE_WITH: u16 = 3;
const LOOKUP_SET: u16 = 1;
const LOOKUP_REGISTER: u16 = 2;
const IMMEDIATE_REGISTER: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const COUNTER_PACKETS: u16 = 2;

/// `NF_BR_FORWARD` of linux/netfilter_bridge.h.
const FORWARD_HOOK: u32 = 2;
/// How many keys one message carries: the length of an attribute has 16 bits.
const KEYS_PER_MESSAGE: usize = 1000;

/// A 32-bit register; the one behind it has the next number.
pub(crate) const REGISTER: u32 = libc::NFT_REG32_00 as u32;
/// The index of the interface that a frame came in by, four bytes in the host's order.
pub(crate) const FRAME_IN: u32 = libc::NFT_META_IIF as u32;
/// The index of the interface that it is to leave by.
pub(crate) const FRAME_OUT: u32 = libc::NFT_META_OIF as u32;
/// Its EtherType, the high byte first.
pub(crate) const FRAME_PROTOCOL: u32 = libc::NFT_META_PROTOCOL as u32;

/// The fate of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on.
    Accept,
    /// It is gone.
    Drop,
}

/// Whether a register has to hold a value, or anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// This value.
    Is,
    /// Another one.
    IsNot,
}

/// What a set keeps beside its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// Nothing.
    Keys,
    /// For each key how often it was looked up.
    Counters,
}

/// A connection with the packet filter of the network namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Nftables(Socket);

impl Nftables {
    /// Opens one here.
    pub(crate) fn open() -> io::Result<Self> {
        Socket::open(libc::NETLINK_NETFILTER).map(Self)
    }

    /// Carries a batch out. When it returns `Ok`, the kernel decides by the new state.
    pub(crate) fn commit(&mut self, batch: Batch) -> io::Result<()> {
        self.0.ask_all(batch.requests())
    }

    /// Whether a key is in a set.
    pub(crate) fn has(&mut self, table: &str, set: &str, key: &[u8]) -> io::Result<bool> {
        match self.0.query(element(table, set, key)) {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How often a key of a set that keeps counters was looked up.
    pub(crate) fn lookups(&mut self, table: &str, set: &str, key: &[u8]) -> io::Result<u64> {
        let answer = self.0.query(element(table, set, key))?;
        let path = [ELEMENTS, LIST_ELEMENT, ELEMENT_EXPRESSION, EXPRESSION_DATA, COUNTER_PACKETS];
        answer
            .get(BRIDGE.len()..)
            .and_then(|attributes| message::at(attributes, &path))
            .and_then(|packets| packets.try_into().ok())
            .map(u64::from_be_bytes)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an element of a set has no counter"))
    }
}

fn message(kind: i32, flags: i32) -> Request {
    let kind = (libc::NFNL_SUBSYS_NFTABLES << 8) | kind;
    Request::new(kind as u16, flags, &BRIDGE)
}

fn frame(kind: i32) -> Request {
    Request::new(kind as u16, 0, &SUBSYSTEM)
}

/// The question for one element.
fn element(table: &str, set: &str, key: &[u8]) -> Request {
    let mut request = message(libc::NFT_MSG_GETSETELEM, 0);
    name_elements(&mut request, table, set, &[key]);
    request
}

fn name_elements<K: AsRef<[u8]>>(request: &mut Request, table: &str, set: &str, keys: &[K]) {
    request.text(ELEMENTS_TABLE, table);
    request.text(ELEMENTS_SET, set);
    if keys.is_empty() {
        return;
    }
    request.nest(ELEMENTS, |list| {
        for key in keys {
            list.nest(LIST_ELEMENT, |element| {
                element.nest(ELEMENT_KEY, |data| data.attribute(DATA_VALUE, key.as_ref()));
            });
        }
    });
}

/// Changes that take effect together, to one table.
#[derive(Debug)]
pub(crate) struct Batch {
    table: &'static str,
    requests: Vec<Request>,
}

impl Batch {
    /// An empty one.
    pub(crate) fn of(table: &'static str) -> Self {
        Self { table, requests: Vec::new() }
    }

    fn requests(mut self) -> Vec<Request> {
        // The end of a batch is answered by new kernels only, its last change by all of them, after all is in force.
        let last = self.requests.pop().map(Request::acknowledged);
        let begin = std::iter::once(frame(libc::NFNL_MSG_BATCH_BEGIN));
        let changes = self.requests.into_iter().chain(last);
        begin.chain(changes).chain([frame(libc::NFNL_MSG_BATCH_END)]).collect()
    }

    /// Makes the table, which must not be there.
    pub(crate) fn add_table(&mut self) {
        let mut request = message(libc::NFT_MSG_NEWTABLE, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
        request.text(TABLE_NAME, self.table);
        self.requests.push(request);
    }

    /// Makes a chain that decides about the frames which a bridge passes from one port to another. What no rule of it
    /// decides, `policy` does.
    pub(crate) fn add_forward_chain(&mut self, name: &str, policy: Verdict) {
        let mut request = message(libc::NFT_MSG_NEWCHAIN, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
        request.text(CHAIN_TABLE, self.table);
        request.text(CHAIN_NAME, name);
        request.nest(CHAIN_HOOK, |hook| {
            hook.number(HOOK_NUMBER, FORWARD_HOOK);
            hook.number(HOOK_PRIORITY, 0);
        });
        request.number(CHAIN_POLICY, policy.code());
        request.text(CHAIN_TYPE, "filter");
        self.requests.push(request);
    }

    /// Makes a set of keys of this many bytes. `number` differs from that of the other sets of the batch.
    pub(crate) fn add_set(&mut self, name: &str, number: u32, key_bytes: u32, keeps: Keeps) {
        let mut request = message(libc::NFT_MSG_NEWSET, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
        request.text(SET_TABLE, self.table);
        request.text(SET_NAME, name);
        request.number(SET_FLAGS, 0);
        request.number(SET_KEY_LENGTH, key_bytes);
        request.number(SET_ID, number);
        if keeps == Keeps::Counters {
            request.nest(SET_EXPRESSION, |counter| {
                counter.text(EXPRESSION_NAME, "counter");
                counter.nest(EXPRESSION_DATA, |_| {});
            });
        }
        self.requests.push(request);
    }

    /// Takes all keys out of a set.
    pub(crate) fn clear(&mut self, set: &str) {
        let mut request = message(libc::NFT_MSG_DELSETELEM, 0);
        name_elements::<[u8; 0]>(&mut request, self.table, set, &[]);
        self.requests.push(request);
    }

    /// Puts keys into a set.
    pub(crate) fn add_keys<K: AsRef<[u8]>>(&mut self, set: &str, keys: &[K]) {
        for some in keys.chunks(KEYS_PER_MESSAGE) {
            let mut request = message(libc::NFT_MSG_NEWSETELEM, libc::NLM_F_CREATE);
            name_elements(&mut request, self.table, set, some);
            self.requests.push(request);
        }
    }

    /// Adds a rule at the end of a chain. The first of its expressions that does not hold ends it.
    pub(crate) fn add_rule(&mut self, chain: &str, fill: impl FnOnce(&mut Rule<'_>)) {
        let mut request = message(libc::NFT_MSG_NEWRULE, libc::NLM_F_CREATE | libc::NLM_F_APPEND);
        request.text(RULE_TABLE, self.table);
        request.text(RULE_CHAIN, chain);
        request.nest(RULE_EXPRESSIONS, |list| fill(&mut Rule(list)));
        self.requests.push(request);
    }
}

impl Verdict {
    fn code(self) -> u32 {
        match self {
            Verdict::Drop => libc::NF_DROP as u32,
            Verdict::Accept => libc::NF_ACCEPT as u32,
        }
    }
}

/// The expressions of a rule, in their order.
pub(crate) struct Rule<'a>(&'a mut Request);

impl Rule<'_> {
    fn expression(&mut self, name: &str, fill: impl FnOnce(&mut Request)) {
        self.0.nest(LIST_ELEMENT, |expression| {
            expression.text(EXPRESSION_NAME, name);
            expression.nest(EXPRESSION_DATA, fill);
        });
    }

    /// Loads what the kernel knows about the frame.
    pub(crate) fn load(&mut self, what: u32, register: u32) {
        self.expression("meta", |data| {
            data.number(META_KEY, what);
            data.number(META_REGISTER, register);
        });
    }

    /// Loads four bytes of the network header, from this offset on.
    pub(crate) fn load_header(&mut self, offset: u32, register: u32) {
        self.expression("payload", |data| {
            data.number(PAYLOAD_REGISTER, register);
            data.number(PAYLOAD_BASE, libc::NFT_PAYLOAD_NETWORK_HEADER as u32);
            data.number(PAYLOAD_OFFSET, offset);
            data.number(PAYLOAD_LENGTH, 4);
        });
    }

    /// Holds if the register compares so with these bytes.
    pub(crate) fn compare(&mut self, register: u32, how: Comparison, with: &[u8]) {
        let how = match how {
            Comparison::Is => libc::NFT_CMP_EQ,
            Comparison::IsNot => libc::NFT_CMP_NEQ,
        };
        self.expression("cmp", |data| {
            data.number(COMPARE_REGISTER, register);
            data.number(COMPARE_HOW, how as u32);
            data.nest(COMPARE_WITH, |value| value.attribute(DATA_VALUE, with));
        });
    }

    /// Holds if what begins at this register is in the set, and counts it there if the set keeps counters.
    pub(crate) fn look_up(&mut self, set: &str, register: u32) {
        self.expression("lookup", |data| {
            data.text(LOOKUP_SET, set);
            data.number(LOOKUP_REGISTER, register);
        });
    }

    /// Decides.
    pub(crate) fn decide(&mut self, verdict: Verdict) {
        self.expression("immediate", |data| {
            data.number(IMMEDIATE_REGISTER, libc::NFT_REG_VERDICT as u32);
            data.nest(IMMEDIATE_DATA, |value| {
                value.nest(DATA_VERDICT, |value| value.number(VERDICT_CODE, verdict.code()));
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_change_of_a_batch_is_the_one_that_is_answered() {
        let mut batch = Batch::of("t");
        batch.clear("s");
        batch.add_keys("s", &vec![[7; 8]; KEYS_PER_MESSAGE + 1]);
        let requests = batch.requests();
        let flags = |request: &Request| {
            let bytes = request.clone().numbered(1).to_vec();
            i32::from(u16::from_ne_bytes([bytes[6], bytes[7]])) & libc::NLM_F_ACK
        };
        let answered: Vec<bool> = requests.iter().map(|request| flags(request) > 0).collect();
        assert_eq!(answered, [false, false, false, true, false], "begin, clear, keys, keys, end");
    }
}
