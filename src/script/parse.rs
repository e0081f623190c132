//! From the text of a condition to its tree.
//!
//! Invariant: every error has a range of the text, and no text makes it panic or recurse deeper than [`DEPTH_MAX`].
//! Deliberately absent: what names mean; see `check.rs`.

use std::ops::Range;

use cluster::system::NodeId;

use super::expr::{Comparison, Expr, Filter, Function, Kind, Sign};

/// How deep brackets may lie in one another.
const DEPTH_MAX: usize = 32;
/// How many words and signs a text may have.
const TOKENS_MAX: usize = 1000;

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Which bytes of the text.
    pub range: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What goes under the caret.
    pub label: String,
    /// A way out; may be empty.
    pub help: String,
}

impl Trouble {
    /// A problem at a place.
    pub fn new(range: Range<usize>, message: impl Into<String>) -> Self {
        Self { range, message: message.into(), label: String::new(), help: String::new() }
    }

    /// With this under the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }
}

type Parsed = Result<Expr, Trouble>;

/// Reads a whole text.
pub fn parse(text: &str) -> Parsed {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, end: text.len(), depth: 0 };
    let expr = parser.either()?;
    match parser.peek() {
        None => Ok(expr),
        Some(token) => Err(unexpected(token, "the end, `and` or `or`")),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(i128),
    Duration(u64),
    Quoted(String),
    Word(String),
    Sign(&'static str),
}

/// Two characters before one, so that `>=` is not read as `>`.
const SIGNS: [&str; 19] =
    ["==", "!=", ">=", "<=", "=", ">", "<", "(", ")", "[", "]", "{", "}", ",", "@", "/", "+", "-", ":"];

type Spanned = (Token, Range<usize>);

fn tokens(text: &str) -> Result<Vec<Spanned>, Trouble> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let run = |keep: fn(char) -> bool| rest.find(|c| !keep(c)).unwrap_or(rest.len());
        let (token, length) = if first.is_ascii_digit() {
            let length = run(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_');
            (number(&rest[..length], at)?, length)
        } else if first.is_ascii_alphabetic() || first == '_' {
            let length = run(|c| c.is_ascii_alphanumeric() || c == '_');
            (Token::Word(rest[..length].to_owned()), length)
        } else if first == '\'' || first == '"' {
            let Some(end) = rest[1..].find(first) else {
                return Err(Trouble::new(at..at + 1, "this quote is not closed"));
            };
            (Token::Quoted(rest[1..=end].to_owned()), end + 2)
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Token::Sign(sign), sign.len())
        } else {
            let range = at..at + first.len_utf8();
            return Err(Trouble::new(range, format!("`{first}` has no meaning in a condition")));
        };
        tokens.push((token, at..at + length));
        at += length;
        if tokens.len() > TOKENS_MAX {
            return Err(Trouble::new(0..at, format!("the text has more than {TOKENS_MAX} words and signs")));
        }
    }
    Ok(tokens)
}

fn number(text: &str, at: usize) -> Result<Token, Trouble> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        let number = text.parse::<i128>();
        return number
            .map(Token::Number)
            .map_err(|_| Trouble::new(at..at + text.len(), "too large a number"));
    }
    match crate::suite::duration_ns(text) {
        Ok(ns) => Ok(Token::Duration(ns)),
        Err(why) => {
            let message = format!("`{text}` is neither a number nor a duration");
            Err(Trouble::new(at..at + text.len(), message).label(why))
        }
    }
}

struct Parser {
    tokens: Vec<Spanned>,
    at: usize,
    end: usize,
    /// How many brackets are open.
    depth: usize,
}

fn show(token: &Token) -> String {
    match token {
        Token::Number(number) => format!("`{number}`"),
        Token::Duration(_) => "a duration".to_owned(),
        Token::Quoted(text) => format!("`'{text}'`"),
        Token::Word(word) => format!("`{word}`"),
        Token::Sign(sign) => format!("`{sign}`"),
    }
}

fn unexpected((token, range): &Spanned, wanted: &str) -> Trouble {
    Trouble::new(range.clone(), format!("{} stands where {wanted} is expected", show(token)))
}

impl Parser {
    fn peek(&self) -> Option<&Spanned> {
        self.tokens.get(self.at)
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Some((Token::Sign(found), _)) if *found == sign)
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some((Token::Word(found), _)) if found == word);
        self.at += usize::from(found);
        found
    }

    /// Where something is missing: at the next token, or behind the last one.
    fn missing(&self, wanted: &str) -> Trouble {
        match self.peek() {
            Some(token) => unexpected(token, wanted),
            None => {
                let start = self.tokens.last().map_or(0, |(_, range)| range.start);
                Trouble::new(start..self.end, format!("the text ends where {wanted} is expected"))
            }
        }
    }

    fn close(&mut self, sign: &'static str) -> Result<usize, Trouble> {
        if self.take_sign(sign) {
            return Ok(self.tokens[self.at - 1].1.end);
        }
        Err(self.missing(&format!("`{sign}`")))
    }

    fn either(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.missing("less nesting"));
        }
        let parsed = self.chain("or", Self::all, Kind::Or);
        self.depth -= 1;
        parsed
    }

    fn all(&mut self) -> Parsed {
        self.chain("and", Self::negated, Kind::And)
    }

    fn chain(&mut self, word: &str, part: fn(&mut Self) -> Parsed, make: fn(Vec<Expr>) -> Kind) -> Parsed {
        let mut parts = vec![part(self)?];
        while self.take_word(word) {
            parts.push(part(self)?);
        }
        if let [_] = parts.as_slice() {
            return Ok(parts.remove(0));
        }
        let range = parts[0].range.start..parts[parts.len() - 1].range.end;
        Ok(Expr { range, kind: make(parts) })
    }

    fn negated(&mut self) -> Parsed {
        let start = self.peek().map(|(_, range)| range.start);
        let mut nots = 0;
        while self.take_word("not") {
            nots += 1;
        }
        let inner = self.comparison()?;
        // Two of them cancel each other, also for what is unknown.
        match start.filter(|_| nots % 2 == 1) {
            None => Ok(inner),
            Some(start) => Ok(Expr { range: start..inner.range.end, kind: Kind::Not(Box::new(inner)) }),
        }
    }

    fn comparison(&mut self) -> Parsed {
        let left = self.sum()?;
        let Some(comparison) = self.take_comparison() else { return Ok(left) };
        let right = self.sum()?;
        let range = left.range.start..right.range.end;
        Ok(Expr { range, kind: Kind::Compare(Box::new(left), comparison, Box::new(right)) })
    }

    fn take_comparison(&mut self) -> Option<Comparison> {
        const ALL: [(&str, Comparison); 7] = [
            ("=", Comparison::Equal),
            ("==", Comparison::Equal),
            ("!=", Comparison::Unequal),
            ("<", Comparison::Below),
            ("<=", Comparison::AtMost),
            (">", Comparison::Above),
            (">=", Comparison::AtLeast),
        ];
        let (_, comparison) = ALL.iter().find(|(sign, _)| self.is_sign(sign))?;
        self.at += 1;
        Some(*comparison)
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.pair()?;
        loop {
            let sign = if self.take_sign("+") {
                Sign::Plus
            } else if self.take_sign("-") {
                Sign::Minus
            } else {
                return Ok(left);
            };
            let right = self.pair()?;
            let range = left.range.start..right.range.end;
            left = Expr { range, kind: Kind::Sum(Box::new(left), sign, Box::new(right)) };
        }
    }

    /// `leader@3`, `1/n2`
    fn pair(&mut self) -> Parsed {
        let left = self.atom()?;
        type Make = fn(Box<Expr>, Box<Expr>) -> Kind;
        let make: Make = if self.take_sign("@") {
            Kind::At
        } else if self.take_sign("/") {
            Kind::Slash
        } else {
            return Ok(left);
        };
        let right = self.atom()?;
        let range = left.range.start..right.range.end;
        Ok(Expr { range, kind: make(Box::new(left), Box::new(right)) })
    }

    fn atom(&mut self) -> Parsed {
        let Some((token, range)) = self.peek().cloned() else { return Err(self.missing("a value")) };
        self.at += 1;
        let kind = match token {
            Token::Number(number) => Kind::Number(number),
            Token::Duration(ns) => Kind::Duration(ns),
            Token::Quoted(text) => Kind::Quoted(text),
            Token::Word(word) if self.is_sign("(") => return self.call(&word, range),
            Token::Word(word) => match node_named(&word) {
                Some(node) => Kind::Node(node),
                None if matches!(word.as_str(), "and" | "or" | "not") => {
                    return Err(unexpected(&(Token::Word(word), range), "a value"));
                }
                None => Kind::Name(word),
            },
            Token::Sign("(") => {
                let inner = self.either()?;
                let end = self.close(")")?;
                return Ok(Expr { range: range.start..end, kind: inner.kind });
            }
            Token::Sign("[") => return self.items(range.start, "]", Kind::List),
            Token::Sign("{") => return self.items(range.start, "}", Kind::Set),
            Token::Sign(_) => return Err(unexpected(&(token, range), "a value")),
        };
        Ok(Expr { range, kind })
    }

    fn items(&mut self, start: usize, closing: &'static str, make: fn(Vec<Expr>) -> Kind) -> Parsed {
        let mut items = Vec::new();
        while !self.is_sign(closing) {
            items.push(self.sum()?);
            if !self.take_sign(",") {
                break;
            }
        }
        let end = self.close(closing)?;
        Ok(Expr { range: start..end, kind: make(items) })
    }

    fn call(&mut self, name: &str, at: Range<usize>) -> Parsed {
        let Some(function) = Function::named(name) else {
            let names: Vec<&str> = Function::ALL.iter().map(|function| function.name()).collect();
            let label =
                crate::suite::did_you_mean(name, &names).unwrap_or_else(|| "unknown function".to_owned());
            return Err(Trouble::new(at, format!("there is no function `{name}`")).label(label).help(
                "functions are listed in docs/questions.md: `role(n1)`, `term(n1)`, `commit(n1)`, `acked(w)`...",
            ));
        };
        self.at += 1;
        let (mut args, mut filters) = (Vec::new(), Vec::new());
        while !self.is_sign(")") {
            let value = self.sum()?;
            match (self.take_comparison(), value.kind) {
                (None, kind) => args.push(Expr { range: value.range, kind }),
                (Some(comparison), Kind::Name(field)) => {
                    filters.push(Filter { field, range: value.range, comparison, value: self.sum()? });
                }
                (Some(_), _) => {
                    let message = "only the name of a field can be compared here";
                    return Err(Trouble::new(value.range, message).help("write `event(n1, vote, to = n2)`"));
                }
            }
            if !self.take_sign(",") {
                break;
            }
        }
        let end = self.close(")")?;
        Ok(Expr { range: at.start..end, kind: Kind::Call { function, args, filters } })
    }
}

/// The node of this name.
pub fn node_named(word: &str) -> Option<NodeId> {
    let digits = word.strip_prefix('n').filter(|digits| !digits.starts_with('0'))?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok().map(NodeId))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read() {
        for text in [
            "role(n1) = leader@1 and voted_for(n2) = 1/n1",
            "not (acked(w) or failed(w))",
            "log(n1) = [1, 1, 4] and config(L) = {n1, n2}",
            "event(any, vote, to = n2, term >= 3, since = healed)",
            "elapsed(cut) >= 1.5s",
            "commit(n1) >= last_index(n2) - 1",
            "others(L)",
            "no_leader()",
        ] {
            let parsed = parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
            assert_eq!(parsed.range, 0..text.len(), "{text}");
        }
        let parsed = parse("a = 1 or b = 2 and c = 3").unwrap();
        assert!(matches!(parsed.kind, Kind::Or(parts) if matches!(parts[1].kind, Kind::And(_))));
    }

    #[test]
    fn errors_point_at_their_place() {
        for (text, range, part) in [
            ("roel(n1) = leader", 0..4, "no function"),
            ("role(n1 = leader", 0..0, ""),
            ("role(n1)) = leader", 8..9, "`)`"),
            ("term(n1) >=", 9..11, "ends"),
            ("term(n1) >= 5x", 12..14, "neither"),
            ("", 0..0, "ends"),
            ("a # b", 2..3, "no meaning"),
            ("reply(w) = 'x", 11..12, "not closed"),
            ("and", 0..3, "value"),
            ("n1 n2", 3..5, "`n2`"),
            ("日", 0..3, "no meaning"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.message.contains(part), "{text}: {error:?}");
            if !part.is_empty() {
                assert_eq!(error.range, range, "{text}: {error:?}");
            }
        }
        assert!(parse(&"(".repeat(100_000)).is_err());
        assert!(parse(&"not ".repeat(10_000)).is_err());
    }
}
