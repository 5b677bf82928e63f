// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Stack traces of Python, Java, Node.js, Go and Rust: the error, and the innermost line of a program's own code.

use std::sync::OnceLock;

use regex::Regex;

/// A stack trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Trace {
    pub(super) language: &'static str,
    /// The exception with its message.
    pub(super) error: String,
    /// The innermost frame of the program's own code.
    pub(super) own: Option<Frame>,
}

/// A place in a program.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Frame {
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) function: String,
}

/// Most traces of one text that are kept, the last ones.
const MOST: usize = 4;

/// Finds traces in lines that come one by one.
#[derive(Default)]
pub(super) struct Tracer {
    current: Option<Trace>,
    /// A line that may be the error of a trace that begins with the next one.
    before: String,
    /// A function whose file is in the next line.
    function: String,
    /// Whether the next line is the message of a panic.
    message: bool,
    found: Vec<Trace>,
}

/// Where code is that is not the program's own.
const FOREIGN: &[&str] = &[
    "site-packages",
    "dist-packages",
    "/usr/lib/",
    "/usr/local/go/",
    "/usr/local/lib/",
    "/rustc/",
    ".cargo/registry",
    "/go/pkg/mod/",
    "node_modules",
    "node:",
    "<frozen",
    "internal/",
];
/// Packages of Java's own library and of usual frameworks.
const FOREIGN_CLASSES: &[&str] = &[
    "java.",
    "javax.",
    "jdk.",
    "sun.",
    "com.sun.",
    "jakarta.",
    "kotlin.",
    "scala.",
    "org.springframework.",
    "org.apache.",
    "io.netty.",
    "org.hibernate.",
    "org.junit.",
];

struct Forms {
    python: Regex,
    java: Regex,
    node: Regex,
    go: Regex,
    rust: Regex,
    rust_at: Regex,
    error: Regex,
}

fn forms() -> Option<&'static Forms> {
    static FORMS: OnceLock<Option<Forms>> = OnceLock::new();
    let make = || {
        Some(Forms {
            python: Regex::new(r#"^\s+File "([^"]+)", line ([0-9]+)(?:, in (.+))?"#).ok()?,
            java: Regex::new(r"^\s+at ([A-Za-z_$][A-Za-z0-9_.$<>/]*)\(([^():]+)(?::([0-9]+))?\)").ok()?,
            node: Regex::new(r"^\s+at (?:(.+?) \()?((?:file://|node:)?[^():]+):([0-9]+):[0-9]+\)?$").ok()?,
            go: Regex::new(r"^\t(/[^:]+\.go):([0-9]+)").ok()?,
            rust: Regex::new(r"^\s+[0-9]+: (?:0x[0-9a-f]+ - )?(.+)$").ok()?,
            rust_at: Regex::new(r"panicked at (?:'[^']*', )?([^:]+):([0-9]+)(?::[0-9]+)?").ok()?,
            error: Regex::new(r#"^(?:Exception in thread "[^"]*" |Caused by: |Uncaught |\[?ERROR\]? )?([A-Za-z_$][A-Za-z0-9_.$]*(?:Exception|Error|Throwable)[A-Za-z0-9_$]*)(?: \[[A-Z_]+\])?(?:: (.*))?$"#).ok()?,
        })
    };
    FORMS.get_or_init(make).as_ref()
}

impl Tracer {
    /// Takes the next line.
    pub(super) fn line(&mut self, line: &str) {
        let Some(forms) = forms() else {
            return;
        };
        if std::mem::take(&mut self.message) {
            if let Some(trace) = &mut self.current {
                trace.error = line.trim().to_owned();
            }
            return;
        }
        if line.contains("Traceback (most recent call last):") {
            self.begin("Python", String::new());
            return;
        }
        if let Some(groups) = forms
            .rust_at
            .captures(line)
            .filter(|_| line.contains("thread '"))
        {
            self.begin("Rust", line.trim().to_owned());
            let frame = frame(&groups[1], &groups[2], "");
            self.frame(frame, false);
            self.message = line.trim_end().ends_with(':');
            return;
        }
        if let Some(error) = line.strip_prefix("panic: ") {
            self.begin("Go", error.trim().to_owned());
            return;
        }
        match self.current.as_ref().map(|trace| trace.language) {
            Some("Python") => {
                if let Some(groups) = forms.python.captures(line) {
                    let function = groups.get(3).map_or("", |group| group.as_str());
                    let frame = frame(&groups[1], &groups[2], function);
                    // The innermost comes last.
                    self.frame(frame, true);
                } else if !line.trim().is_empty() && !line.starts_with(char::is_whitespace) {
                    if let Some(trace) = &mut self.current {
                        trace.error = line.trim().to_owned();
                    }
                    self.end();
                }
                return;
            }
            Some("Go") => {
                if let Some(groups) = forms.go.captures(line) {
                    let frame = frame(&groups[1], &groups[2], &self.function);
                    self.frame(frame, false);
                } else {
                    let name = line.split_once('(').map_or("", |(name, _)| name);
                    self.function = name.rsplit('/').next().unwrap_or(name).to_owned();
                }
                return;
            }
            Some("Rust") => {
                if let Some(groups) = forms.rust.captures(line) {
                    self.function = groups[1].to_owned();
                }
                return;
            }
            _ => (),
        }
        if let Some(groups) = forms.java.captures(line) {
            self.begin_behind("Java");
            let class = &groups[1];
            let line = groups.get(3).map_or("0", |group| group.as_str());
            if !FOREIGN_CLASSES
                .iter()
                .any(|package| class.starts_with(package))
            {
                let frame = frame(&groups[2], line, class);
                self.frame(frame, false);
            }
        } else if let Some(groups) = forms.node.captures(line) {
            self.begin_behind("Node.js");
            let function = groups.get(1).map_or("", |group| group.as_str());
            let frame = frame(&groups[2], &groups[3], function);
            self.frame(frame, false);
        } else if let Some(cause) = line.strip_prefix("Caused by: ") {
            if let Some(trace) = &mut self.current {
                // The innermost cause is what it is about.
                trace.error = cause.trim().to_owned();
                trace.own = None;
            }
        } else if !line.trim_start().starts_with("... ") {
            self.end();
            if forms.error.is_match(line.trim()) {
                line.trim().clone_into(&mut self.before);
            } else {
                self.before.clear();
            }
        }
    }

    /// All that were found, the last one first.
    pub(super) fn finish(mut self) -> Vec<Trace> {
        self.end();
        self.found.reverse();
        self.found
    }

    fn begin(&mut self, language: &'static str, error: String) {
        self.end();
        self.current = Some(Trace {
            language,
            error,
            own: None,
        });
    }

    /// A frame came: it belongs to the error in the line before, if there was one.
    fn begin_behind(&mut self, language: &'static str) {
        if self.current.is_none() && !self.before.is_empty() {
            let error = std::mem::take(&mut self.before);
            self.begin(language, error);
        }
    }

    fn frame(&mut self, frame: Frame, last_is_innermost: bool) {
        let Some(trace) = &mut self.current else {
            return;
        };
        let foreign = FOREIGN.iter().any(|place| frame.file.contains(place));
        if !foreign && (last_is_innermost || trace.own.is_none()) {
            trace.own = Some(frame);
        }
    }

    fn end(&mut self) {
        if let Some(trace) = self.current.take().filter(|trace| !trace.error.is_empty()) {
            self.found.push(trace);
            if self.found.len() > MOST {
                self.found.remove(0);
            }
        }
    }
}

fn frame(file: &str, line: &str, function: &str) -> Frame {
    Frame {
        file: file.to_owned(),
        line: line.parse().unwrap_or(0),
        function: function.trim().to_owned(),
    }
}

impl Trace {
    /// What it says, in sentences.
    pub(super) fn meaning(&self) -> String {
        use llamux_facts::text::{shortened, shown};
        let error = shortened(&shown(&self.error), 200);
        let mut out = format!(
            "The {} program ended with {}.",
            self.language,
            error.trim_end_matches('.')
        );
        if let Some(own) = &self.own {
            let file = shown(&own.file);
            out += &format!(" The innermost place in its own code is {file}");
            if own.line > 0 {
                out += &format!(", line {}", own.line);
            }
            if !own.function.is_empty() && own.function != "<module>" {
                out += &format!(", in {}", shortened(&shown(&own.function), 80));
            }
            out.push('.');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn only(text: &str) -> Trace {
        let mut tracer = Tracer::default();
        text.lines().for_each(|line| tracer.line(line));
        let mut found = tracer.finish();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[test]
    fn traces_say_the_error_and_the_innermost_own_line() {
        for (text, language, error, file, line, function) in [
            (
                "Traceback (most recent call last):\n  File \"/srv/app.py\", line 10, in main\n    load(x)\n  File \"/srv/load.py\", line 4, in load\n    \
                 json.loads(s)\n  File \"/usr/lib/python3.11/json/__init__.py\", line 346, in loads\n    return 1\njson.decoder.JSONDecodeError: Expecting value: line 1\nmore",
                "Python", "json.decoder.JSONDecodeError: Expecting value: line 1", "/srv/load.py", 4, "load",
            ),
            (
                "12:00 Exception in thread\nException in thread \"main\" java.lang.IllegalStateException: no\n\tat org.acme.App.run(App.java:30)\n\tat org.acme.App.main(App.java:9)\nCaused by: \
                 java.lang.NullPointerException: name is null\n\tat java.base/java.util.Objects.requireNonNull(Objects.java:233)\n\tat org.acme.Store.put(Store.java:77)\n\t... 2 more\n",
                "Java", "java.lang.NullPointerException: name is null", "Store.java", 77, "org.acme.Store.put",
            ),
            (
                "/srv/app/index.js:5\n    foo();\n    ^\n\nTypeError: foo is not a function\n    at node:internal/x:1:1\n    at handle (/srv/app/node_modules/express/lib/router.js:8:3)\n    at start (/srv/app/index.js:5:5)\n",
                "Node.js", "TypeError: foo is not a function", "/srv/app/index.js", 5, "start",
            ),
            (
                "panic: runtime error: index out of range [3] with length 3\n\ngoroutine 1 [running]:\nmain.pick(...)\n\t/home/u/pick/main.go:12\nmain.main()\n\t/home/u/pick/main.go:20 +0x1d\nexit status 2\n",
                "Go", "runtime error: index out of range [3] with length 3", "/home/u/pick/main.go", 12, "main.pick",
            ),
            (
                "thread 'main' panicked at src/main.rs:4:10:\ncalled `Option::unwrap()` on a `None` value\nnote: run with `RUST_BACKTRACE=1`\n",
                "Rust", "called `Option::unwrap()` on a `None` value", "src/main.rs", 4, "",
            ),
        ] {
            let trace = only(text);
            let own = trace.own.clone().unwrap_or_default();
            assert_eq!(
                (trace.language, trace.error.as_str(), own.file.as_str(), own.line, own.function.as_str()),
                (language, error, file, line, function)
            );
            assert!(trace.meaning().contains(file), "{}", trace.meaning());
        }
    }

    #[test]
    fn ordinary_text_has_no_trace() {
        let mut tracer = Tracer::default();
        for line in [
            "We meet at noon",
            "    at the corner",
            "Error: none",
            "",
            "panic at the disco",
        ] {
            tracer.line(line);
        }
        assert_eq!(tracer.finish(), []);
    }
}
