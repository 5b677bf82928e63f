// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Schemas as grammars, compiled and followed: which texts they take, and which they do not.

#[path = "../../llamux-engine/tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::{small_vocabulary, Meta};
use llamux::Grammar;
use llamux_engine::arena::Arena;
use llamux_engine::gguf::Gguf;
use llamux_engine::grammar::{self, Guide, Matcher, MatcherMemory, Places};
use llamux_engine::tokenizer::Vocab;
use llamuxd::json::Json;
use llamuxd::schema;

/// How a byte is spelled in a vocabulary of the GPT-2 kind.
fn spell(byte: u8) -> char {
    let printable = |b: u8| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&b| !printable(b)).count() as u32;
    char::from_u32(256 + before).unwrap()
}

/// Whether a text is all of an answer by a grammar, each.
fn accepts(grammar: &str, texts: &[&str]) -> Vec<bool> {
    let compiled = Grammar::new(grammar).unwrap_or_else(|error| panic!("{error}\n{grammar}"));
    let mut tokens: Vec<Vec<u8>> = (0..=255)
        .map(|b| spell(b).to_string().into_bytes())
        .collect();
    let mut types = vec![1; tokens.len()];
    tokens.push("<s>".into());
    types.push(3);
    tokens.push("<|im_end|>".into());
    types.push(3);
    let file = small_vocabulary(tokens, types)
        .set("tokenizer.ggml.merges", Some(Meta::Strings(vec![])))
        .build();
    let gguf = Gguf::parse(&file).unwrap();
    let mut memory = vec![0; Vocab::plan(&gguf).unwrap()];
    let vocab = Vocab::load(&gguf, &mut memory).unwrap();
    let (count, bytes) = Vocab::texts(&gguf).unwrap();
    let mut counting = Arena::counting();
    MatcherMemory::lay_out(count, bytes, &mut counting).unwrap();
    Places::lay_out(1, &mut counting).unwrap();
    let mut memory = vec![0; counting.needed()];
    let mut arena = Arena::new(&mut memory);
    let matcher = MatcherMemory::lay_out(count, bytes, &mut arena).unwrap();
    let mut places = Places::lay_out(1, &mut arena).unwrap();
    let mut matcher = Matcher::load(&vocab, matcher).unwrap();
    let mut place = places.get(0).unwrap();
    let compiled = grammar::Grammar::new(compiled.table()).unwrap();
    let mut accept = |text: &&str| {
        matcher.start(&compiled, &mut place).unwrap();
        let mut guide = Guide::new(&compiled, &vocab, &mut matcher, &mut place);
        for byte in text.bytes() {
            if !guide.allows(byte.into()) {
                return false;
            }
            guide.accept(byte.into()).unwrap();
        }
        guide.is_complete()
    };
    texts.iter().map(&mut accept).collect()
}

fn of(schema: &str) -> String {
    let schema: Json = serde_json::from_str(schema).unwrap();
    schema::grammar(&schema).unwrap_or_else(|refused| panic!("{refused}"))
}

/// A schema, texts that are valid, and texts that are not.
type Case = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const CASES: &[Case] = &[
    (
        "{}",
        &["1", "\"a\"", "[{\"a\": []}]", "{ }"],
        &["", "a", "[1,]", "{\"a\":}"],
    ),
    (
        r#"{"type": "boolean"}"#,
        &["true", "false"],
        &["null", "True"],
    ),
    (r#"{"type": "null"}"#, &["null"], &["0"]),
    (r#"{"type": ["string", "null"]}"#, &["null", "\"\""], &["0"]),
    (
        r#"{"type": "string"}"#,
        &[r#""""#, r#""a\"\\\n\u00e9é🦙""#, r#""\ud7ff""#],
        &[
            r#"""#,
            "\"\n\"",
            r#""\x""#,
            r#""\ud800""#,
            r#""\uDFFF""#,
            r#""a"b""#,
        ],
    ),
    (
        r#"{"type": "string", "minLength": 2, "maxLength": 3}"#,
        &["\"ab\"", "\"é\\n🦙\""],
        &["\"a\"", "\"abcd\""],
    ),
    (
        r#"{"type": "string", "maxLength": 0}"#,
        &["\"\""],
        &["\"a\""],
    ),
    (
        r#"{"enum": ["a", 1, null, {"b": [2]}]}"#,
        &["\"a\"", "1", "null", "{\"b\":[2]}"],
        &["\"b\"", "2"],
    ),
    (r#"{"const": "a\"b"}"#, &["\"a\\\"b\""], &["\"a\""]),
    (
        r#"{"type": "integer"}"#,
        &["0", "-7", "123456789012345"],
        &["01", "1.0", "-", "+1", "1e3"],
    ),
    (
        r#"{"type": "number"}"#,
        &["0", "-7.25", "1e10", "1.5E-3"],
        &["01", "1.", ".5", "1e", "NaN"],
    ),
    (
        r#"{"type": "integer", "minimum": 0}"#,
        &["0", "7", "10", "999999"],
        &["-1", "-0", "00"],
    ),
    (
        r#"{"type": "integer", "minimum": 18, "maximum": 120}"#,
        &["18", "19", "20", "99", "100", "119", "120"],
        &["17", "121", "9", "1", "1200", "018"],
    ),
    (
        r#"{"type": "integer", "minimum": -12, "maximum": 5}"#,
        &["-12", "-10", "-9", "-1", "0", "5"],
        &["-13", "6", "-20", "10"],
    ),
    (
        r#"{"type": "integer", "maximum": -3}"#,
        &["-3", "-4", "-10", "-99999"],
        &["-2", "0", "3", "-03"],
    ),
    (
        r#"{"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 1000}"#,
        &["1", "999"],
        &["0", "1000"],
    ),
    (
        r#"{"type": "integer", "minimum": 1987, "maximum": 2026}"#,
        &["1987", "1999", "2000", "2019", "2026"],
        &["1986", "2027", "2100", "198"],
    ),
    (
        r#"{"type": "number", "minimum": 0, "maximum": 1}"#,
        &["0", "0.5", "0.999", "1", "1.0"],
        &["1.5", "2", "-0.5", "1.01"],
    ),
    (
        r#"{"type": "number", "minimum": -5, "maximum": 5}"#,
        &["-5", "-4.9", "0", "0.1", "-0.1", "5.0"],
        &["-5.1", "5.1", "6"],
    ),
    (
        r#"{"type": "number", "exclusiveMinimum": 0}"#,
        &["0.1", "0.001", "1", "70.5"],
        &["0", "0.0", "-1"],
    ),
    (
        r#"{"type": "number", "exclusiveMinimum": -1, "exclusiveMaximum": 1}"#,
        &["0", "-0.9", "0.9"],
        &["-1", "1", "1.0"],
    ),
    (
        r#"{"type": "array", "items": {"type": "integer"}}"#,
        &["[]", "[1]", "[1, 2,3]"],
        &["[a]", "[1,]", "[,1]", "1"],
    ),
    (
        r#"{"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3}"#,
        &["[true,false]", "[true, true, true]"],
        &["[]", "[true]", "[true,true,true,true]"],
    ),
    (r#"{"type": "array", "maxItems": 0}"#, &["[]"], &["[1]"]),
    (
        r#"{"type": "array", "maxItems": 1, "items": {"type": "null"}}"#,
        &["[]", "[null]"],
        &["[null,null]"],
    ),
    (
        r#"{"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]}"#,
        &["[1, \"a\"]"],
        &["[1]", "[\"a\",1]"],
    ),
    (
        r#"{"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "null"}}, "required": ["b", "a"], "additionalProperties": false}"#,
        &[
            "{\"b\":1,\"a\":null}",
            "{ \"b\": 1, \"a\": null }",
            "{\n  \"b\": 1,\n  \"a\": null\n}",
        ],
        &[
            "{\"a\":null,\"b\":1}",
            "{\"b\":1}",
            "{}",
            "{\"b\":1,\"a\":null,\"c\":1}",
        ],
    ),
    (
        r#"{"properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}}, "required": ["b"]}"#,
        &[
            "{\"b\":2}",
            "{\"a\":1,\"b\":2}",
            "{\"b\":2,\"c\":3}",
            "{\"a\":1,\"b\":2,\"c\":3}",
        ],
        &[
            "{\"a\":1}",
            "{\"a\":1,\"c\":3}",
            "{,\"b\":2}",
            "{\"b\":2,}",
            "{}",
        ],
    ),
    (
        r#"{"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}}}"#,
        &[
            "{}",
            "{\"a\":1}",
            "{\"b\":2}",
            "{\"c\":3}",
            "{\"a\":1,\"c\":3}",
            "{\"a\":1,\"b\":2,\"c\":3}",
            "{\"b\":2,\"c\":3}",
        ],
        &["{\"b\":2,\"a\":1}", "{\"a\":1 \"c\":3}", "{,}"],
    ),
    (
        r#"{"type": "object"}"#,
        &["{}", "{\"x\": [1, {}]}"],
        &["[]"],
    ),
    (
        r#"{"type": "object", "additionalProperties": false}"#,
        &["{}"],
        &["{\"a\":1}"],
    ),
    (
        r#"{"type": "object", "additionalProperties": {"type": "integer"}}"#,
        &["{}", "{\"a\":1, \"b\":2}"],
        &["{\"a\":null}"],
    ),
    (
        r#"{"anyOf": [{"type": "integer"}, {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]}]}"#,
        &["3", "{\"a\":null}"],
        &["{}", "\"3\""],
    ),
    (
        r#"{"oneOf": [{"const": 1}, {"const": 2}]}"#,
        &["1", "2"],
        &["3"],
    ),
    (
        r##"{"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}"##,
        &["[]", "[[],[[]]]"],
        &["[1]", "{}"],
    ),
    (
        r##"{"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"]}"##,
        &["{\"next\":{\"next\":null}}"],
        &["{\"next\":1}"],
    ),
    (
        r##"{"properties": {"a/b": {"const": 1}, "c": {"$ref": "#/properties/a~1b"}}, "required": ["a/b", "c"]}"##,
        &["{\"a/b\":1,\"c\":1}"],
        &["{\"a/b\":1,\"c\":2}"],
    ),
    (
        r#"{"type": "string", "format": "date"}"#,
        &[
            "\"2026-11-21\"",
            "\"2024-02-29\"",
            "\"2000-02-29\"",
            "\"1999-12-31\"",
        ],
        &[
            "\"2026-13-01\"",
            "\"2026-02-30\"",
            "\"2023-02-29\"",
            "\"1900-02-29\"",
            "\"2026-04-31\"",
            "\"2026-00-10\"",
            "\"26-01-01\"",
        ],
    ),
    (
        r#"{"type": "string", "format": "date-time"}"#,
        &[
            "\"2026-11-21T23:59:59Z\"",
            "\"2026-11-21T00:00:00.5+01:00\"",
        ],
        &[
            "\"2026-11-21\"",
            "\"2026-11-21T24:00:00Z\"",
            "\"2026-11-21T00:00:00\"",
        ],
    ),
    (
        r#"{"type": "string", "format": "uuid"}"#,
        &["\"123e4567-e89b-12d3-a456-426614174000\""],
        &["\"123e4567\""],
    ),
    (
        r#"{"type": "string", "format": "ipv4"}"#,
        &["\"127.0.0.1\"", "\"255.249.99.10\""],
        &["\"256.0.0.1\"", "\"1.2.3\"", "\"01.2.3.4\""],
    ),
    (
        r#"{"type": "string", "pattern": "^[A-Z]{2}-\\d+$"}"#,
        &["\"AB-1\"", "\"XY-123\""],
        &["\"A-1\"", "\"AB-\"", "\"ab-1\"", "\"AB-1x\"", "\"AB-٣\""],
    ),
    (
        r#"{"type": "string", "pattern": "b+"}"#,
        &["\"b\"", "\"abba\""],
        &["\"\"", "\"aaa\""],
    ),
    (
        r#"{"type": "string", "pattern": "^(yes|no)$"}"#,
        &["\"yes\"", "\"no\""],
        &["\"yesno\"", "\"\""],
    ),
    (
        r#"{"type": "string", "pattern": "^a|b$"}"#,
        &["\"axx\"", "\"xxb\""],
        &["\"xax\""],
    ),
    (
        r#"{"type": "string", "pattern": "^.\"\\\\$"}"#,
        &[r#""x\"\\""#, r#""\"\"\\""#],
        &[r#""x"\""#, r#""x\"""#],
    ),
    (
        r#"{"type": "string", "pattern": "^[^a-z]\\s\\w?$"}"#,
        &[r#""A b""#, r#""\"\tb""#, r#""é ""#],
        &[r#""a b""#, r#""A  b""#],
    ),
];

#[test]
fn a_schema_takes_what_is_valid_and_nothing_else() {
    for (schema, valid, invalid) in CASES {
        let grammar = of(schema);
        for (text, accepted) in valid.iter().zip(accepts(&grammar, valid)) {
            assert!(accepted, "{schema}: {text} is valid\n{grammar}");
            serde_json::from_str::<serde_json::Value>(text).unwrap();
        }
        for (text, accepted) in invalid.iter().zip(accepts(&grammar, invalid)) {
            assert!(!accepted, "{schema}: {text} is not valid\n{grammar}");
        }
    }
}

#[test]
fn every_integer_is_in_its_range_or_not() {
    let texts: Vec<String> = (-130..=1300).map(|n: i32| n.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for (low, high) in [
        (-120, 7),
        (0, 0),
        (1, 99),
        (9, 11),
        (95, 1005),
        (-100, -10),
        (123, 1234),
        (-1, 1),
    ] {
        let grammar = of(&format!(
            r#"{{"type": "integer", "minimum": {low}, "maximum": {high}}}"#
        ));
        for (text, accepted) in texts.iter().zip(accepts(&grammar, &texts)) {
            let number: i32 = text.parse().unwrap();
            assert_eq!(
                accepted,
                (low..=high).contains(&number),
                "{number} in {low} to {high}\n{grammar}"
            );
        }
    }
}

#[test]
fn what_is_not_kept_to_is_refused_by_name_and_place() {
    for (schema, path, word) in [
        ("3", "", "an object"),
        (r#"{"type": "strnig"}"#, "/type", "strnig"),
        (
            r#"{"type": "string", "contentEncoding": "base64"}"#,
            "/contentEncoding",
            "contentEncoding",
        ),
        (r#"{"not": {}}"#, "/not", "not"),
        (
            r#"{"type": "integer", "multipleOf": 3}"#,
            "/multipleOf",
            "multipleOf",
        ),
        (
            r#"{"type": "number", "minimum": 0.5}"#,
            "/minimum",
            "minimum",
        ),
        (
            r#"{"type": "integer", "minimum": 3, "maximum": 2}"#,
            "",
            "no integer",
        ),
        (
            r#"{"type": "array", "uniqueItems": true}"#,
            "/uniqueItems",
            "uniqueItems",
        ),
        (
            r#"{"type": "array", "minItems": 2, "maxItems": 1}"#,
            "",
            "so long",
        ),
        (
            r#"{"type": "array", "minItems": 5000}"#,
            "/minItems",
            "1000",
        ),
        (r#"{"type": "string", "format": "iri"}"#, "/format", "iri"),
        (
            r#"{"type": "string", "pattern": "(?=a)"}"#,
            "/pattern",
            "pattern",
        ),
        (
            r#"{"type": "string", "pattern": "a^b"}"#,
            "/pattern",
            "anchors",
        ),
        (
            r#"{"type": "string", "pattern": "(a)\\1"}"#,
            "/pattern",
            "backreference",
        ),
        (
            r#"{"type": "string", "pattern": "a", "maxLength": 3}"#,
            "",
            "maxLength",
        ),
        (
            r#"{"type": "object", "properties": {"a": {"type": "object", "patternProperties": {}}}}"#,
            "/properties/a/patternProperties",
            "patternProperties",
        ),
        (
            r#"{"type": "object", "properties": {"a/~b": {"if": {}}}}"#,
            "/properties/a~1~0b/if",
            "if",
        ),
        (
            r#"{"type": "object", "required": ["a"]}"#,
            "/required",
            "\"a\"",
        ),
        (
            r#"{"allOf": [{"type": "integer"}, {"minimum": 3}]}"#,
            "/allOf",
            "allOf",
        ),
        (r#"{"anyOf": [], "type": "integer"}"#, "/anyOf", "anyOf"),
        (
            r#"{"anyOf": [{"type": "null"}], "properties": {}}"#,
            "/properties",
            "properties",
        ),
        (r##"{"$ref": "#/$defs/a"}"##, "/$ref", "not there"),
        (r#"{"$ref": "https://example.org/a"}"#, "/$ref", "$ref"),
        (r##"{"$ref": "#node"}"##, "/$ref", "must point into"),
        (r#"{"enum": []}"#, "/enum", "enum"),
        ("false", "", "a boolean"),
    ] {
        let parsed: Json = serde_json::from_str(schema).unwrap();
        let refused = schema::grammar(&parsed).unwrap_err();
        assert_eq!(refused.path, path, "{schema}: {refused}");
        assert!(refused.to_string().contains(word), "{schema}: {refused}");
    }
}

#[test]
fn references_are_followed_so_deep_and_no_deeper() {
    let chain = |links: usize| {
        let of = |link: usize| format!(r##"{{"$ref": "#/$defs/d{link}"}}"##);
        let mut definitions: Vec<String> = (0..links)
            .map(|link| format!(r#""d{link}": {}"#, of(link + 1)))
            .collect();
        definitions.push(format!(r#""d{links}": {{"type": "null"}}"#));
        let definitions = definitions.join(",");
        let schema = format!(r##"{{"$ref": "#/$defs/d0", "$defs": {{{definitions}}}}}"##);
        schema::grammar(&serde_json::from_str::<Json>(&schema).unwrap())
    };
    assert_eq!(accepts(&chain(10).unwrap(), &["null", "1"]), [true, false]);
    for links in [200, 8000] {
        let refused = chain(links).unwrap_err().to_string();
        assert!(refused.contains("more than 128 deep"), "{refused}");
    }
}

#[test]
fn many_required_members_take_no_time() {
    let names: Vec<String> = (0..4000).map(|n| format!("\"m{n}\"")).collect();
    let properties: Vec<String> = names.iter().map(|name| format!("{name}: true")).collect();
    let schema = format!(
        r#"{{"properties": {{{}}}, "required": [{}]}}"#,
        properties.join(","),
        vec![names[0].as_str(); 500_000].join(",")
    );
    let schema: Json = serde_json::from_str(&schema).unwrap();
    let begin = Instant::now();
    schema::grammar(&schema).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_reference_that_never_ends_makes_no_grammar() {
    let schema: Json =
        serde_json::from_str(r##"{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}"##)
            .unwrap();
    let grammar = schema::grammar(&schema).unwrap();
    assert!(Grammar::new(&grammar).is_err(), "{grammar}");
}

#[test]
fn any_object_is_an_object() {
    let texts = ["{}", "{\"a\": [1, \"b\", {\"c\": null}]}", "[]", "1", ""];
    assert_eq!(
        accepts(&schema::any_object(), &texts),
        [true, true, false, false, false]
    );
}
