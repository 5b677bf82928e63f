// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A JSON schema as a grammar: every text of the grammar is valid by the schema.
//!
//! The other way round it need not be: members come in the order of `properties`, blanks are few, and members that
//! `properties` does not name are left out. What can not be kept to is refused by its name and place, and nothing
//! is passed over but what only describes.

mod pattern;
mod range;

use std::collections::{HashMap, HashSet};
use std::fmt;

use indexmap::IndexMap;
use llamux::grammar::literal;

use crate::json::Json;

/// Most rules of a grammar.
const MAX_RULES: usize = 8192;
/// Most that `minItems`, `maxItems`, `minLength` and `maxLength` may be.
const MAX_COUNT: u64 = 1000;
/// How deep schemas are within one another, and behind references. No text of JSON is nested deeper.
const MAX_DEPTH: usize = 128;

/// Keywords that say nothing about what is valid.
const DESCRIPTIONS: &[&str] = &[
    "title",
    "description",
    "default",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "definitions",
];

/// Why a schema is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where: a JSON pointer, empty for the whole.
    pub path: String,
    /// What is the matter, with the keyword.
    pub reason: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "the schema: {}", self.reason),
            path => write!(f, "the schema at {path}: {}", self.reason),
        }
    }
}

/// Rules of a grammar in the making.
pub struct Rules<'s> {
    /// The schema that references are looked up in.
    root: &'s Json,
    rules: IndexMap<String, String>,
    /// The rule of a reference.
    refs: HashMap<String, String>,
    /// How deep the schema is that is looked at.
    depth: usize,
}

/// The grammar of any JSON object.
pub fn any_object() -> String {
    let mut rules = Rules::new(&Json::Null);
    let object = rules.builtin("object");
    rules.finish(&object)
}

/// The grammar of a schema.
pub fn grammar(schema: &Json) -> Result<String, Refused> {
    let mut rules = Rules::new(schema);
    let root = rules.of(schema, "")?;
    Ok(rules.finish(&root))
}

impl<'s> Rules<'s> {
    /// No rules yet, for schemas whose references are within `root`.
    pub fn new(root: &'s Json) -> Self {
        Self {
            root,
            rules: IndexMap::new(),
            refs: HashMap::new(),
            depth: 0,
        }
    }

    /// Schemas to come have their references within this one.
    pub fn set_root(&mut self, root: &'s Json) {
        self.root = root;
        self.refs.clear();
    }

    /// The text of the grammar whose root is this expression.
    pub fn finish(self, root: &str) -> String {
        let mut text = format!("root ::= {root}\n");
        for (name, rule) in &self.rules {
            text += &format!("{name} ::= {rule}\n");
        }
        text
    }

    /// Adds a rule, and returns its name.
    pub fn add(&mut self, rule: String) -> String {
        let name = format!("r{}", self.rules.len());
        self.rules.insert(name.clone(), rule);
        name
    }

    /// A rule that is the same in all grammars.
    fn builtin(&mut self, name: &str) -> String {
        let (rule, uses): (&str, &[&str]) = match name {
            "space" => (r#"(" " | "\n" " "{0,16})?"#, &[]),
            "hex" => ("[0-9a-fA-F]", &[]),
            // Half of a pair of surrogates is no character.
            "char" => (
                r#"[^"\\\x00-\x1F] | "\\" (["\\/bfnrt] | "u" ([0-9a-cA-CefEF] hex{3} | [dD] [0-7] hex{2}))"#,
                &["hex"],
            ),
            "string" => (r#""\"" char* "\"""#, &["char"]),
            "boolean" => (r#""true" | "false""#, &[]),
            "null" => (r#""null""#, &[]),
            "integer" => (r#""-"? ("0" | [1-9] [0-9]{0,14})"#, &[]),
            "number" => (
                r#"integer ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?"#,
                &["integer"],
            ),
            "value" => (
                "object | array | string | number | boolean | null",
                &["object", "array", "string", "number", "boolean", "null"],
            ),
            "member" => (r#"string ":" space value"#, &["string", "space", "value"]),
            "object" => (
                r#""{" space (member ("," space member)* space)? "}""#,
                &["member", "space"],
            ),
            _ => (
                r#""[" space (value ("," space value)* space)? "]""#,
                &["value", "space"],
            ),
        };
        if !self.rules.contains_key(name) {
            self.rules.insert(name.to_owned(), rule.to_owned());
            for used in uses {
                self.builtin(used);
            }
        }
        name.to_owned()
    }

    /// The name of a rule for the values of a schema.
    pub fn of(&mut self, schema: &Json, path: &str) -> Result<String, Refused> {
        if self.rules.len() > MAX_RULES {
            return refuse(path, "it is too large");
        }
        let members = match schema {
            Json::Bool(true) => return Ok(self.builtin("value")),
            Json::Object(members) => members,
            other => {
                return refuse(
                    path,
                    format!("a schema is an object, and this is {}", other.kind()),
                )
            }
        };
        let mut keywords = Keywords {
            members,
            path,
            used: vec![],
        };
        if self.depth == MAX_DEPTH {
            let reason = format!("schemas and references are nested more than {MAX_DEPTH} deep");
            return refuse(path, reason);
        }
        self.depth += 1;
        let rule = self.keywords(&mut keywords)?;
        self.depth -= 1;
        keywords.all_used()?;
        Ok(rule)
    }

    fn keywords(&mut self, keywords: &mut Keywords<'_>) -> Result<String, Refused> {
        let path = keywords.path;
        if let Some(to) = keywords.take("$ref") {
            return self.reference(to, &keywords.at("$ref"));
        }
        if let Some(value) = keywords.take("const") {
            keywords.take("type");
            return Ok(self.add(literal(&value.to_string())));
        }
        if let Some(values) = keywords.take("enum") {
            // It says no more than the values do, unless somebody erred.
            keywords.take("type");
            let at = keywords.at("enum");
            return match values {
                Json::Array(values) if !values.is_empty() => {
                    let values: Vec<_> = values.iter().map(|v| literal(&v.to_string())).collect();
                    Ok(self.add(values.join(" | ")))
                }
                _ => refuse(&at, "\"enum\" must be an array of at least one value"),
            };
        }
        for several in ["anyOf", "oneOf", "allOf"] {
            let Some(schemas) = keywords.take(several) else {
                continue;
            };
            let at = keywords.at(several);
            // Beside them a type is what they all are, and says nothing more if they say theirs.
            let kind = keywords.take("type");
            let Json::Array(schemas) = schemas else {
                return refuse(&at, format!("{several:?} must be an array of schemas"));
            };
            if schemas.is_empty() || (several == "allOf" && schemas.len() > 1) {
                return refuse(
                    &at,
                    format!(
                        "{several:?} with {} schemas is not supported",
                        schemas.len()
                    ),
                );
            }
            let mut names = Vec::new();
            for (index, schema) in schemas.iter().enumerate() {
                let at = format!("{at}/{index}");
                let own = schema.as_object().is_some_and(|schema| {
                    ["type", "const", "enum", "$ref"]
                        .iter()
                        .any(|k| schema.contains_key(*k))
                });
                if kind.is_some() && !own {
                    return refuse(&at, "\"type\" must be said here, and not beside it");
                }
                names.push(self.of(schema, &at)?);
            }
            return Ok(self.add(names.join(" | ")));
        }
        let kinds: Vec<&str> = match keywords.take("type") {
            Some(Json::String(kind)) => vec![kind],
            Some(Json::Array(kinds)) if !kinds.is_empty() => kinds
                .iter()
                .map(|kind| match kind {
                    Json::String(kind) => Ok(kind.as_str()),
                    _ => refuse(&keywords.at("type"), "a type is a string"),
                })
                .collect::<Result<_, _>>()?,
            Some(_) => return refuse(&keywords.at("type"), "a type is a string, or some of them"),
            None if keywords.has(&["properties", "required", "additionalProperties"]) => {
                vec!["object"]
            }
            None if keywords.has(&["items", "prefixItems", "minItems", "maxItems"]) => {
                vec!["array"]
            }
            None if keywords.has(&["pattern", "format", "minLength", "maxLength"]) => {
                vec!["string"]
            }
            None if keywords.has(&[
                "minimum",
                "maximum",
                "exclusiveMinimum",
                "exclusiveMaximum",
            ]) =>
            {
                vec!["number"]
            }
            None => return Ok(self.builtin("value")),
        };
        let mut names = Vec::new();
        for kind in kinds {
            names.push(match kind {
                "null" | "boolean" => self.builtin(kind),
                "integer" | "number" => self.number(keywords, kind == "integer")?,
                "string" => self.string(keywords)?,
                "array" => self.array(keywords)?,
                "object" => self.object(keywords)?,
                other => {
                    return refuse(
                        &format!("{path}/type"),
                        format!("there is no type {other:?}"),
                    )
                }
            });
        }
        match names.as_slice() {
            [one] => Ok(one.clone()),
            _ => Ok(self.add(names.join(" | "))),
        }
    }

    /// What another place of the schema says.
    fn reference(&mut self, to: &Json, path: &str) -> Result<String, Refused> {
        let pointer = to.as_str().and_then(|to| to.strip_prefix('#'));
        let Some(pointer) = pointer.filter(|to| to.is_empty() || to.starts_with('/')) else {
            return refuse(
                path,
                "\"$ref\" must point into the schema, as in \"#/$defs/name\"",
            );
        };
        if let Some(name) = self.refs.get(pointer) {
            return Ok(name.clone());
        }
        let mut target = self.root;
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            target = match target {
                Json::Object(members) => members.get(&part),
                Json::Array(items) => part.parse().ok().and_then(|n: usize| items.get(n)),
                _ => None,
            }
            .ok_or_else(|| Refused {
                path: path.to_owned(),
                reason: format!(
                    "\"$ref\" points to {:?}, which is not there",
                    format!("#{pointer}")
                ),
            })?;
        }
        // Its name is there before its rule, which may refer to itself.
        let name = format!("ref{}", self.refs.len());
        let name = match self.rules.contains_key(&name) {
            true => format!("{name}-{}", self.rules.len()),
            false => name,
        };
        self.refs.insert(pointer.to_owned(), name.clone());
        self.rules.insert(name.clone(), String::new());
        let rule = self.of(target, pointer)?;
        self.rules.insert(name.clone(), rule);
        Ok(name)
    }

    fn number(&mut self, keywords: &mut Keywords<'_>, integer: bool) -> Result<String, Refused> {
        let mut bound = |name: &str| -> Result<Option<i64>, Refused> {
            let Some(value) = keywords.take(name) else {
                return Ok(None);
            };
            let whole = match value {
                Json::Number(n) => n.as_i64().or_else(|| {
                    // CAST: Checked to be whole, and far from where this would cut.
                    n.as_f64()
                        .filter(|n| n.fract() == 0.0 && n.abs() < 1e15)
                        .map(|n| n as i64)
                }),
                _ => None,
            };
            match whole.filter(|n| n.unsigned_abs() < 1_000_000_000_000_000) {
                Some(whole) => Ok(Some(whole)),
                None => refuse(
                    &keywords.at(name),
                    format!("{name:?} must be a whole number of at most 15 digits"),
                ),
            }
        };
        let least = bound("minimum")?;
        let most = bound("maximum")?;
        let above = bound("exclusiveMinimum")?;
        let below = bound("exclusiveMaximum")?;
        if let Some(step) = keywords.take("multipleOf") {
            let one = matches!(step, Json::Number(n) if n.as_i64() == Some(1));
            if !(integer && one) {
                return refuse(
                    &keywords.at("multipleOf"),
                    "\"multipleOf\" is not supported",
                );
            }
        }
        if integer {
            let least = least.max(above.map(|n| n + 1));
            let most = match (most, below.map(|n| n - 1)) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            if least.is_none() && most.is_none() {
                return Ok(self.builtin("integer"));
            }
            return match range::integers(least, most) {
                Some(rule) => Ok(self.add(rule)),
                None => refuse(keywords.path, "no integer is so large and so small"),
            };
        }
        if (least, most, above, below) == (None, None, None, None) {
            return Ok(self.builtin("number"));
        }
        if (least.is_some() && above.is_some()) || (most.is_some() && below.is_some()) {
            return refuse(keywords.path, "there are two bounds on one side");
        }
        let low = least.map(|n| (n, true)).or(above.map(|n| (n, false)));
        let high = most.map(|n| (n, true)).or(below.map(|n| (n, false)));
        match range::numbers(low, high) {
            Some(rule) => Ok(self.add(rule)),
            None => refuse(keywords.path, "no number is so large and so small"),
        }
    }

    fn string(&mut self, keywords: &mut Keywords<'_>) -> Result<String, Refused> {
        let least = keywords.count("minLength")?;
        let most = keywords.count("maxLength")?;
        let pattern = keywords.take("pattern");
        let format = keywords.take("format");
        let counted = least.is_some() || most.is_some();
        match (pattern, format) {
            (Some(_), Some(_)) => refuse(keywords.path, "\"pattern\" and \"format\" at once are not supported"),
            (Some(Json::String(pattern)), None) if !counted => {
                self.builtin("char");
                match pattern::rule(pattern) {
                    Ok(rule) => Ok(self.add(format!(r#""\"" ({rule}) "\"""#))),
                    Err(reason) => refuse(&keywords.at("pattern"), format!("\"pattern\": {reason}")),
                }
            }
            (None, Some(Json::String(name))) if !counted => match format_rule(name) {
                Some(rule) => Ok(self.add(format!(r#""\"" {rule} "\"""#))),
                None => refuse(
                    &keywords.at("format"),
                    format!("\"format\" {name:?} is not supported; date, time, date-time, uuid and ipv4 are"),
                ),
            },
            (Some(Json::String(_)), None) | (None, Some(Json::String(_))) => refuse(
                keywords.path,
                "\"minLength\" and \"maxLength\" beside \"pattern\" or \"format\" are not supported",
            ),
            (Some(_), None) => refuse(&keywords.at("pattern"), "\"pattern\" must be a string"),
            (None, Some(_)) => refuse(&keywords.at("format"), "\"format\" must be a string"),
            (None, None) if counted => {
                self.builtin("char");
                let times = times(least.unwrap_or(0), most, keywords.path)?;
                Ok(self.add(format!(r#""\"" char{times} "\"""#)))
            }
            (None, None) => Ok(self.builtin("string")),
        }
    }

    fn array(&mut self, keywords: &mut Keywords<'_>) -> Result<String, Refused> {
        self.builtin("space");
        let least = keywords.count("minItems")?.unwrap_or(0);
        let most = keywords.count("maxItems")?;
        if let Some(unique) = keywords.take("uniqueItems") {
            if *unique != Json::Bool(false) {
                return refuse(
                    &keywords.at("uniqueItems"),
                    "\"uniqueItems\" is not supported",
                );
            }
        }
        let items = keywords.take("items");
        if let Some(first) = keywords.take("prefixItems") {
            let at = keywords.at("prefixItems");
            let Json::Array(first) = first else {
                return refuse(&at, "\"prefixItems\" must be an array of schemas");
            };
            // CAST: From what is in memory.
            let count = first.len() as u64;
            if first.is_empty() || least > count || most.is_some_and(|most| most < count) {
                return refuse(
                    &at,
                    "\"prefixItems\" must be as many as \"minItems\" and \"maxItems\" allow",
                );
            }
            let mut parts = Vec::new();
            for (index, schema) in first.iter().enumerate() {
                parts.push(self.of(schema, &format!("{at}/{index}"))?);
            }
            return Ok(self.add(format!(
                r#""[" space {} space "]""#,
                parts.join(r#" "," space "#)
            )));
        }
        let item = match items {
            None => self.builtin("value"),
            Some(schema) => self.of(schema, &keywords.at("items"))?,
        };
        if most == Some(0) && least == 0 {
            return Ok(self.add(r#""[" space "]""#.to_owned()));
        }
        let more = times(
            least.saturating_sub(1),
            most.map(|most| most.saturating_sub(1)),
            keywords.path,
        )?;
        let filled = format!(r#"{item} ("," space {item}){more} space"#);
        Ok(self.add(match least {
            0 => format!(r#""[" space ({filled})? "]""#),
            _ => format!(r#""[" space {filled} "]""#),
        }))
    }

    fn object(&mut self, keywords: &mut Keywords<'_>) -> Result<String, Refused> {
        self.builtin("space");
        let none = IndexMap::new();
        let properties = match keywords.take("properties") {
            None => &none,
            Some(Json::Object(properties)) => properties,
            Some(_) => {
                return refuse(
                    &keywords.at("properties"),
                    "\"properties\" must be an object",
                )
            }
        };
        let mut required = HashSet::new();
        match keywords.take("required") {
            None => (),
            Some(Json::Array(names)) => {
                for name in names {
                    let known = name.as_str().filter(|name| properties.contains_key(*name));
                    let Some(name) = known else {
                        return refuse(
                            &keywords.at("required"),
                            format!("\"required\" names {name}, which \"properties\" has not"),
                        );
                    };
                    required.insert(name);
                }
            }
            Some(_) => return refuse(&keywords.at("required"), "\"required\" must be an array"),
        }
        let more = keywords.take("additionalProperties");
        let at = keywords.at("additionalProperties");
        if properties.is_empty() {
            return match more {
                None | Some(Json::Bool(true)) => Ok(self.builtin("object")),
                Some(Json::Bool(false)) => Ok(self.add(r#""{" space "}""#.to_owned())),
                Some(schema) => {
                    let value = self.of(schema, &at)?;
                    self.builtin("string");
                    let member = self.add(format!(r#"string ":" space {value}"#));
                    Ok(self.add(format!(
                        r#""{{" space ({member} ("," space {member})* space)? "}}""#
                    )))
                }
            };
        }
        match more {
            None | Some(Json::Bool(_) | Json::Object(_)) => (),
            Some(_) => {
                return refuse(
                    &at,
                    "\"additionalProperties\" must be a boolean or a schema",
                )
            }
        }
        let mut members = Vec::new();
        for (name, schema) in properties {
            let at = format!("{}/{}", keywords.at("properties"), escaped(name));
            let value = self.of(schema, &at)?;
            let key = literal(&Json::String(name.clone()).to_string());
            let member = self.add(format!(r#"{key} ":" space {value}"#));
            members.push((member, required.contains(name.as_str())));
        }
        // From the last one: what may follow where members have been written, and where none have.
        let (mut behind, mut first) = (String::new(), Some(String::new()));
        for (member, needed) in members.iter().rev() {
            let here = format!("{member} {behind}");
            let next_first = match (needed, &first) {
                (true, _) | (false, None) => here.clone(),
                (false, Some(rest)) if rest.is_empty() => format!("({here})?"),
                (false, Some(rest)) => format!("{here} | {rest}"),
            };
            first = Some(match *needed {
                true => self.add(here),
                false => self.add(next_first),
            });
            behind = match *needed {
                true => self.add(format!(r#""," space {member} {behind}"#)),
                false => self.add(format!(r#"("," space {member})? {behind}"#)),
            };
        }
        let inside = first.unwrap_or_default();
        Ok(self.add(format!(r#""{{" space {inside} space "}}""#)))
    }
}

/// The keywords of a schema, and those that were looked at.
struct Keywords<'k> {
    members: &'k IndexMap<String, Json>,
    path: &'k str,
    used: Vec<String>,
}

impl<'k> Keywords<'k> {
    fn take(&mut self, name: &str) -> Option<&'k Json> {
        self.used.push(name.to_owned());
        self.members.get(name)
    }

    fn has(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.members.contains_key(*name))
    }

    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    fn count(&mut self, name: &str) -> Result<Option<u64>, Refused> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Number(n)) if n.as_u64().is_some_and(|n| n <= MAX_COUNT) => Ok(n.as_u64()),
            Some(_) => refuse(
                &self.at(name),
                format!("{name:?} must be a whole number of at most {MAX_COUNT}"),
            ),
        }
    }

    /// Refuses the first keyword that nothing has looked at.
    fn all_used(&self) -> Result<(), Refused> {
        for name in self.members.keys() {
            let known = DESCRIPTIONS.contains(&name.as_str()) || self.used.contains(name);
            if !known {
                return refuse(&self.at(name), format!("{name:?} is not supported here"));
            }
        }
        Ok(())
    }
}

fn refuse<T>(path: &str, reason: impl Into<String>) -> Result<T, Refused> {
    Err(Refused {
        path: path.to_owned(),
        reason: reason.into(),
    })
}

/// A name in a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn times(least: u64, most: Option<u64>, path: &str) -> Result<String, Refused> {
    match most {
        Some(most) if most < least => refuse(path, "nothing is so long and so short"),
        Some(most) => Ok(format!("{{{least},{most}}}")),
        None => Ok(format!("{{{least},}}")),
    }
}

/// What the strings of a format look like, without quotes.
fn format_rule(name: &str) -> Option<String> {
    const TIME: &str = r#"([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,6})? ("Z" | [-+] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9])"#;
    const FOUR: &str = r#"("00" | "04" | "08" | [2468] [048] | [13579] [26])"#;
    const FOUR_BUT_00: &str = r#"("04" | "08" | [2468] [048] | [13579] [26])"#;
    let date = format!(
        r#"([0-9]{{4}} "-" (("01" | "03" | "05" | "07" | "08" | "10" | "12") "-" ("0" [1-9] | [12] [0-9] | "3" [01]) | ("04" | "06" | "09" | "11") "-" ("0" [1-9] | [12] [0-9] | "30") | "02-" ("0" [1-9] | "1" [0-9] | "2" [0-8])) | ([0-9]{{2}} {FOUR_BUT_00} | {FOUR} "00") "-02-29")"#
    );
    Some(match name {
        "date" => date,
        "time" => TIME.to_owned(),
        "date-time" => format!(r#"{date} "T" {TIME}"#),
        "uuid" => r#"[0-9a-f]{8} "-" [0-9a-f]{4} "-" [0-9a-f]{4} "-" [0-9a-f]{4} "-" [0-9a-f]{12}"#
            .to_owned(),
        "ipv4" => {
            let part = r#"("25" [0-5] | "2" [0-4] [0-9] | "1" [0-9]{2} | [1-9]? [0-9])"#;
            format!(r#"{part} ("." {part}){{3}}"#)
        }
        _ => return None,
    })
}
