// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Functions that the model may call: what it is told of them, what it may write, and what it wrote.
//!
//! A call is `<tool_call>`, a line with JSON and `</tool_call>`, as many models have learned it. A grammar leaves the
//! model no other name than those of the functions, and no other arguments than their schemas allow.

use std::fmt::Write as _;

use serde::Deserialize;

use llamux::grammar::literal;

use crate::error::ApiError;
use crate::json::Json;
use crate::schema::{Refused, Rules};

/// What a call begins with.
const OPEN: &str = "<tool_call>\n{\"name\": \"";
/// What is between the name and the arguments.
const MIDDLE: &str = "\", \"arguments\": ";
/// What it ends with.
const CLOSE: &str = "}\n</tool_call>";
/// Most calls of an answer.
const MAX_CALLS: u32 = 8;
/// Most functions.
const MAX_TOOLS: usize = 128;

/// A function, as the client describes it.
#[derive(Clone, Debug, Deserialize)]
pub struct Tool {
    #[serde(rename = "type")]
    kind: String,
    function: Option<Json>,
}

/// What the client wants of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// No call.
    None,
    /// A call or a text.
    Auto,
    /// A call.
    Required,
    /// A call of this function.
    Named(String),
}

impl Choice {
    /// As the member `tool_choice` says.
    pub fn parse(choice: Option<&Json>) -> Result<Self, ApiError> {
        let wrong = || {
            ApiError::param(
                "tool_choice",
                "tool_choice must be \"none\", \"auto\", \"required\" or \
                 {\"type\": \"function\", \"function\": {\"name\": NAME}}.",
            )
        };
        match choice {
            None | Some(Json::Null) => Ok(Self::Auto),
            Some(Json::String(word)) => match word.as_str() {
                "none" => Ok(Self::None),
                "auto" => Ok(Self::Auto),
                "required" => Ok(Self::Required),
                _ => Err(wrong()),
            },
            Some(choice) => {
                let function = choice.as_object().and_then(|choice| choice.get("function"));
                let name = function
                    .and_then(Json::as_object)
                    .and_then(|f| f.get("name"));
                let name = name.and_then(Json::as_str).ok_or_else(wrong)?;
                Ok(Self::Named(name.to_owned()))
            }
        }
    }
}

/// A function that was understood.
#[derive(Clone, Debug)]
pub struct Function {
    name: String,
    whole: Json,
    parameters: Option<Json>,
}

/// Takes the member `tools` apart.
pub fn functions(tools: &[Tool]) -> Result<Vec<Function>, ApiError> {
    if tools.len() > MAX_TOOLS {
        return Err(ApiError::param(
            "tools",
            format!("There are more than {MAX_TOOLS} tools."),
        ));
    }
    let mut functions: Vec<Function> = Vec::new();
    for (index, tool) in tools.iter().enumerate() {
        let at = format!("tools[{index}]");
        if tool.kind != "function" {
            return Err(ApiError::unsupported(
                format!("{at}.type"),
                format!(
                    "Tools of the type {:?} are not supported: only functions are.",
                    tool.kind
                ),
            ));
        }
        let whole = tool
            .function
            .as_ref()
            .filter(|function| function.as_object().is_some());
        let whole = whole
            .ok_or_else(|| ApiError::param(format!("{at}.function"), "A function is an object."))?;
        let member = |name: &str| whole.as_object().and_then(|function| function.get(name));
        let fine = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let name = member("name").and_then(Json::as_str);
        let name = name.filter(|n| (1..=64).contains(&n.len()) && n.chars().all(fine));
        let name = name.ok_or_else(|| {
            ApiError::param(
                format!("{at}.function.name"),
                "A function's name has 1 to 64 letters, digits, \"_\", \"-\" and \".\".",
            )
        })?;
        if functions.iter().any(|other| other.name == name) {
            return Err(ApiError::param(
                format!("{at}.function.name"),
                format!("There are two functions of the name {name:?}."),
            ));
        }
        let parameters = member("parameters").filter(|schema| **schema != Json::Null);
        if let Some(schema) = parameters {
            let object = schema
                .as_object()
                .is_some_and(|schema| match schema.get("type") {
                    Some(kind) => kind.as_str() == Some("object"),
                    None => schema.is_empty() || schema.contains_key("properties"),
                });
            if !object {
                return Err(ApiError::param(
                    format!("{at}.function.parameters"),
                    "The schema of a function's parameters must be of the type \"object\".",
                ));
            }
        }
        functions.push(Function {
            name: name.to_owned(),
            whole: whole.clone(),
            parameters: parameters.cloned(),
        });
    }
    Ok(functions)
}

/// What the model is told of the functions.
pub fn prompt(functions: &[Function]) -> String {
    let mut text = String::from(
        "# Tools\n\nThese functions can be called to help the user; <tools></tools> has one on each line:\n<tools>\n",
    );
    for function in functions {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{{\"type\": \"function\", \"function\": {}}}",
            function.whole
        );
    }
    text += "</tools>\n\nTo call a function, answer with its name and its arguments as JSON and nothing else:\n\
             <tool_call>\n{\"name\": NAME, \"arguments\": ARGUMENTS}\n</tool_call>";
    text
}

/// A call as it is written into the conversation.
pub fn written(name: &str, arguments: &str) -> String {
    let name = Json::String(name.to_owned()).to_string();
    let arguments = if arguments.trim().is_empty() {
        "{}"
    } else {
        arguments
    };
    format!(
        "<tool_call>\n{{\"name\": {name}{}{arguments}{CLOSE}",
        &MIDDLE[1..]
    )
}

/// What a function returned, likewise.
pub fn returned(text: &str) -> String {
    format!("<tool_response>\n{text}\n</tool_response>")
}

/// The grammar of answers. `text` is the schema of one that is no call, or `None` if it may be any text.
pub fn grammar(
    functions: &[Function],
    choice: &Choice,
    parallel: bool,
    text: Option<&Json>,
) -> Result<String, ApiError> {
    let object = Json::Object(
        [("type".to_owned(), Json::String("object".into()))]
            .into_iter()
            .collect(),
    );
    let mut rules = Rules::new(&object);
    let mut ways = Vec::new();
    for (index, function) in functions.iter().enumerate() {
        if matches!(choice, Choice::Named(name) if *name != function.name) {
            continue;
        }
        let schema = function.parameters.as_ref().unwrap_or(&object);
        rules.set_root(schema);
        let at = format!("tools[{index}].function.parameters");
        let arguments = rules
            .of(schema, "")
            .map_err(|refused| refusal(&at, &refused))?;
        let name = literal(&format!("{}{MIDDLE}", function.name));
        ways.push(format!("{name} {arguments}"));
    }
    if ways.is_empty() {
        let Choice::Named(name) = choice else {
            return Err(ApiError::param(
                "tool_choice",
                "tool_choice wants a call, and there are no tools.",
            ));
        };
        return Err(ApiError::param(
            "tool_choice",
            format!("tool_choice names the function {name:?}, which is not among the tools."),
        ));
    }
    let call = format!(
        "{} ({}) {}",
        literal(OPEN),
        ways.join(" | "),
        literal(CLOSE)
    );
    let call = rules.add(call);
    let calls = match parallel && !matches!(choice, Choice::Named(_)) {
        true => format!(r#"{call} ("\n" {call}){{0,{}}}"#, MAX_CALLS - 1),
        false => call,
    };
    let root = match (choice, text) {
        (Choice::Auto, Some(schema)) => {
            rules.set_root(schema);
            let text = rules.of(schema, "");
            let text =
                text.map_err(|refused| refusal("response_format.json_schema.schema", &refused))?;
            format!("{calls} | {text}")
        }
        // What begins as a call is one.
        (Choice::Auto, None) => format!(r#"{calls} | ([^<] .* | "<" ([^t] .*)?)?"#),
        _ => calls,
    };
    Ok(rules.finish(&root))
}

/// A schema that is refused, as an error of the member that has it.
pub fn refusal(at: &str, refused: &Refused) -> ApiError {
    ApiError::param(at, format!("{at}: {refused}.")).code("unsupported_schema")
}

/// A part of what the model wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// Of the text.
    Content(String),
    /// A call begins, of the function of this name.
    Call(String),
    /// Of the last call's arguments.
    Arguments(String),
}

/// Finds calls in an answer as it comes.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    state: State,
    rest: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing was decided yet.
    #[default]
    Begin,
    /// It is a text.
    Text,
    /// In the name of a function.
    Name,
    /// In its arguments.
    Arguments {
        depth: u32,
        quoted: bool,
        escaped: bool,
    },
    /// Behind them.
    Close,
}

impl Calls {
    /// Takes some of the answer, and returns what is clear by now.
    pub fn push(&mut self, text: &str) -> Vec<Delta> {
        self.rest += text;
        let mut deltas = Vec::new();
        loop {
            match self.state {
                State::Begin => {
                    let rest = self.rest.trim_start_matches('\n');
                    if rest.is_empty() || (OPEN.starts_with(rest) && rest.len() < OPEN.len()) {
                        return deltas;
                    }
                    match rest.strip_prefix(OPEN) {
                        Some(behind) => {
                            self.rest = behind.to_owned();
                            self.state = State::Name;
                        }
                        None => self.state = State::Text,
                    }
                }
                State::Text => {
                    if !self.rest.is_empty() {
                        deltas.push(Delta::Content(std::mem::take(&mut self.rest)));
                    }
                    return deltas;
                }
                State::Name => {
                    let Some((name, behind)) = self.rest.split_once(MIDDLE) else {
                        return deltas;
                    };
                    deltas.push(Delta::Call(name.to_owned()));
                    self.rest = behind.to_owned();
                    self.state = State::Arguments {
                        depth: 0,
                        quoted: false,
                        escaped: false,
                    };
                }
                State::Arguments {
                    depth,
                    quoted,
                    escaped,
                } => {
                    let (end, state) = arguments(&self.rest, depth, quoted, escaped);
                    let behind = self.rest.split_off(end);
                    let arguments = std::mem::replace(&mut self.rest, behind);
                    if !arguments.is_empty() {
                        deltas.push(Delta::Arguments(arguments));
                    }
                    self.state = state;
                    if state != State::Close {
                        return deltas;
                    }
                }
                State::Close => match self.rest.strip_prefix(CLOSE) {
                    Some(behind) => {
                        self.rest = behind.to_owned();
                        self.state = State::Begin;
                    }
                    None => return deltas,
                },
            }
        }
    }

    /// The answer has ended: what was not clear until now is text, unless a call was cut off.
    pub fn end(&mut self) -> Option<Delta> {
        let rest = std::mem::take(&mut self.rest);
        let text = matches!(self.state, State::Begin | State::Text) && !rest.trim().is_empty();
        text.then_some(Delta::Content(rest))
    }
}

/// Where the arguments end in a text, or it ends, and how it goes on there.
fn arguments(text: &str, mut depth: u32, mut quoted: bool, mut escaped: bool) -> (usize, State) {
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth = depth.saturating_add(1),
            b'}' | b']' if !quoted => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return (index + 1, State::Close);
                }
            }
            _ => (),
        }
    }
    (
        text.len(),
        State::Arguments {
            depth,
            quoted,
            escaped,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, piece: usize) -> Vec<Delta> {
        let mut calls = Calls::default();
        let mut deltas: Vec<Delta> = Vec::new();
        let letters: Vec<char> = text.chars().collect();
        let pieces = letters.chunks(piece).map(String::from_iter);
        let mut got: Vec<_> = pieces
            .flat_map(|piece: String| calls.push(&piece))
            .collect();
        got.extend(calls.end());
        for delta in got {
            match (deltas.last_mut(), delta) {
                (Some(Delta::Content(all)), Delta::Content(more))
                | (Some(Delta::Arguments(all)), Delta::Arguments(more)) => all.push_str(&more),
                (_, delta) => deltas.push(delta),
            }
        }
        deltas
    }

    #[test]
    fn calls_are_found_however_the_answer_is_cut() {
        let content = |text: &str| Delta::Content(text.into());
        let call = |name: &str| Delta::Call(name.into());
        let arguments = |text: &str| Delta::Arguments(text.into());
        let weather = r#"{"city": "Par}is \"\\", "days": [1, {"a": 2}]}"#;
        let first = written("weather", weather);
        let both = format!("{first}\n{}", written("stop", ""));
        let cases = [
            ("Hello.", vec![content("Hello.")]),
            ("<b>bold</b>", vec![content("<b>bold</b>")]),
            ("<", vec![content("<")]),
            ("", vec![]),
            (&first, vec![call("weather"), arguments(weather)]),
            (
                &both,
                vec![
                    call("weather"),
                    arguments(weather),
                    call("stop"),
                    arguments("{}"),
                ],
            ),
            // Cut off.
            (
                &first[..first.len() - 30],
                vec![call("weather"), arguments(&weather[..weather.len() - 16])],
            ),
        ];
        for (text, expected) in cases {
            for piece in [1, 2, 3, 7, 1000] {
                assert_eq!(all(text, piece), expected, "{text:?} in pieces of {piece}");
            }
        }
    }

    fn tools(text: &str) -> Result<Vec<Function>, ApiError> {
        functions(&serde_json::from_str::<Vec<Tool>>(text).unwrap())
    }

    #[test]
    fn tools_that_cannot_be_are_refused_by_their_place() {
        for (text, param) in [
            (r#"[{"type": "web_search"}]"#, "tools[0].type"),
            (r#"[{"type": "function"}]"#, "tools[0].function"),
            (
                r#"[{"type": "function", "function": {"name": "a b"}}]"#,
                "tools[0].function.name",
            ),
            (
                r#"[{"type": "function", "function": {"name": "a"}}, {"type": "function", "function": {"name": "a"}}]"#,
                "tools[1].function.name",
            ),
            (
                r#"[{"type": "function", "function": {"name": "a", "parameters": {"type": "string"}}}]"#,
                "tools[0].function.parameters",
            ),
        ] {
            assert_eq!(
                tools(text).unwrap_err().param.as_deref(),
                Some(param),
                "{text}"
            );
        }
    }

    #[test]
    fn a_choice_without_its_function_is_refused() {
        let some = tools(r#"[{"type": "function", "function": {"name": "a"}}]"#).unwrap();
        let choice = |text: &str| Choice::parse(Some(&serde_json::from_str(text).unwrap()));
        let named = choice(r#"{"type": "function", "function": {"name": "b"}}"#).unwrap();
        assert_eq!(named, Choice::Named("b".into()));
        let error = grammar(&some, &named, true, None).unwrap_err();
        assert!(error.message.contains("\"b\""), "{}", error.message);
        assert!(grammar(&[], &Choice::Required, true, None).is_err());
        assert!(choice("\"always\"").is_err() && choice("{}").is_err());
        assert_eq!(Choice::parse(None).unwrap(), Choice::Auto);
    }

    #[test]
    fn a_schema_that_is_not_kept_to_is_refused_by_its_tool() {
        let some = tools(
            r#"[{"type": "function", "function": {"name": "a", "parameters":
                {"type": "object", "properties": {"x": {"type": "string", "contentEncoding": "base64"}}}}}]"#,
        );
        let error = grammar(&some.unwrap(), &Choice::Auto, true, None).unwrap_err();
        let expected = "tools[0].function.parameters: the schema at /properties/x/contentEncoding";
        assert!(error.message.starts_with(expected), "{}", error.message);
    }
}
