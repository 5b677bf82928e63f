// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What a request wants: an answer, the cause of a trouble, a change of this machine, or a command.
//!
//! Words decide, so that a question about the sky costs nothing. Only where they allow two readings is the model asked
//! which one it is. The rules, in this order; what none of them takes is a general question:
//!
//! - An order (its first word, politeness aside, is a verb of the tables below) is an action if it names something
//!   that can be acted on: a process, a unit, memory, caches, a profile, or a name that is in use on this machine.
//! - An order about files, directories, archives or packages is a shell command.
//! - A request that speaks of things in general ("a computer", "how do I", "in Python", "write") is general.
//! - A request that names a part of this machine ("my disk", "the memory", "this computer") and a trouble or a use of
//!   it ("full", "slow", "eating") asks for findings.
//! - A trouble without a thing ("why is it so slow?"), or an order to end something that is not here, is unclear.

use llamux::Error;

use crate::{choice, Model, Request};

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Intent {
    /// An answer out of what the model has learnt.
    General,
    /// What is the matter with this machine, out of what is found on it.
    Diagnose,
    /// A change of what runs on this machine, or of its settings.
    Act,
    /// A command of the shell: files, archives, packages, and the like.
    Command,
}

/// What the words of a request say about its intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It can be nothing else.
    Certain(Intent),
    /// The model has to choose. The first one is what it is without a model.
    Between(&'static [Intent]),
}

/// The machine as a whole.
const MACHINE: &str = "\
    system computer machine laptop notebook pc desktop workstation server box host raspberry llamux";
/// Its parts, and what is used up.
const RESOURCE: &str = "\
    memory ram swap cpu cpus processor processors core cores load disk disks drive drives ssd hdd nvme storage space \
    filesystem filesystems partition partitions inodes network internet wifi wi-fi wlan ethernet connection dns link \
    battery fan fans temperature gpu boot startup journal kernel clock cache caches i/o io home bandwidth uptime \
    resources";
/// What runs on it.
const RUNNING: &str = "\
    process processes program programs app apps application applications task tasks tab tabs browser service \
    services unit units daemon daemons timer timers container containers updates update reboot restart job jobs \
    thread threads vm vms session sessions user users";
/// What may be wrong with them.
const TROUBLE: &str = "\
    slow slower slowly sluggish lag lags lagging laggy hang hangs hanging hung freeze freezes freezing frozen froze \
    stutter stutters stuttering full fills filling filled hot warm overheat overheats overheating loud noisy \
    spinning crash crashes crashed crashing fail fails failed failing failure failures broken down stuck \
    unresponsive swapping busy high low drain drains draining empty dying died killed kills wrong problem problems \
    trouble troubles issue issues error errors healthy health bottleneck thrashing throttling throttled throttle \
    unreachable offline disconnected disconnects dropping drops needed pending due out gone missing matter bad \
    unhappy tired grinding crawling unusable off late rebooted restarted restarting choking struggling overloaded \
    maxed exhausted short";
/// What somebody does with them.
const USE: &str = "\
    eat eats eating ate use uses using used hog hogs hogging consume consumes consuming take takes taking took \
    occupies occupying waste wastes wasting leak leaks leaking left free available usage writing reading writes \
    reads slowing blocking blocks waking burning running remaining stealing saturating sending downloading";
/// Words behind which a part is this machine's own.
const OWN: &str = "\
    my this our";
/// Words that are about things in general or about texts, whatever else there is.
const GENERAL: &str = "\
    poem haiku story essay joke song letter email mail paragraph sentence text novel book movie film lyrics \
    translate translation code function algorithm query sql regex class variable array loop compiler computers \
    humans people brain human history invented theory philosophy difference mean means meaning define definition \
    recipe country planet animal animals equation formula universe generally typically usually general concept \
    homework interview tutorial goldfish nervous immune solar economy legal political school";
/// What a request about things in general begins with.
const GENERAL_BEGINNINGS: &str = "\
    how do i, how do you, how do we, how can i, how can one, how to, how does, how do computers, how would, \
    how should, what is a, what is an, whats a, whats an, what are, what does, what do, who was, who invented, \
    write, explain, describe, define, translate, summarize, summarise, tell me about, tell me a, give me, imagine, \
    compose, suggest, recommend, should i, when was, when did, compare, name, continue, complete, rewrite, \
    calculate, solve, prove, teach me, say, if, suppose, what if, in, can a, is a, is an, are there any good";
/// Words that politeness puts before an order.
const POLITE: &str = "\
    please, can you, could you, would you, will you, i want you to, i want to, i need you to, i would like to, \
    i would like you to, id like to, id like you to, lets, let us, go ahead and, just, now, kindly, hey, ok, okay, \
    llama, then, quickly, help me, help me to, i have to, i need to";
/// Orders to end or to hold what runs.
const END: &str = "\
    kill terminate end quit close stop pause suspend freeze unfreeze thaw resume unpause shut nuke";
/// Orders about units.
const UNIT: &str = "\
    restart start enable disable reload mask unmask bounce";
/// Orders about how much somebody gets.
const SHARE: &str = "\
    limit cap throttle restrict renice reprioritize reprioritise prioritize prioritise deprioritize deprioritise \
    boost lower raise reduce increase decrease slow speed calm tame give nice";
/// Orders to make room.
const CLEAN: &str = "\
    free clear clean empty drop purge vacuum trim flush reclaim";
/// What can be made room of, or in.
const ROOM: &str = "\
    memory ram swap cache caches cached disk space journal logs trash packages thumbnails coredumps room dns";
/// Orders to be better at something.
const TUNE: &str = "\
    optimize optimise tune prepare configure adjust ready switch go";
/// What a machine can be made better at.
const PROFILE: &str = "\
    gaming games game coding development programming compiling builds battery performance video streaming music \
    audio recording travel travelling traveling latency throughput responsiveness powersave power-saving powersaving \
    balanced quiet silence presentation presentations meetings";
/// Orders about settings.
const SET: &str = "\
    set change switch use turn put enable disable choose activate";
/// The settings.
const SETTING: &str = "\
    swappiness governor profile priority power-saver powersaver powersave power performance balanced";
/// What a machine can be made.
const BETTER: &str = "\
    faster quieter cooler smoother snappier responsive longer lighter quiet silent fast snappy";
/// Orders for a shell.
const SHELL: &str = "\
    list show find count copy move rename delete remove unpack extract unzip untar compress zip archive search grep \
    download convert create install uninstall upgrade update mount unmount sort replace sync backup resize split \
    merge print display make touch append encrypt decrypt locate look get check commit clone";
/// What a shell works on.
const FILES: &str = "\
    file files directory directories folder folders subdirectories subfolders archive archives tarball package \
    packages symlink symlinks permissions ports port branch branches commits repository pdfs photos images \
    screenshots logs environment hostname devices checksum image photo csv manpage";

/// What begins a question or a complaint about something.
const ASKING: &str = "\
    why what whats which who whos is are was were has have do does did how anything something everything whose can \
    could tell show check diagnose find the where am it its any when";
/// Words that are names of programs only by accident.
const COMMON: &str = "\
    all the and for why what which who how this that more less top free kill time test time watch yes sleep head \
    tail find sort cut make man cat split join last file from are not you can has was with about everything anything \
    using story system";
/// Languages of programs and of people.
const LANGUAGES: &str = "\
    python rust c c++ java javascript go bash perl ruby typescript haskell lua english german french spanish latex \
    html css pandas numpy";
/// Most words of an order or a question about this machine: longer texts are pasted ones, to be worked on.
const LONGEST: usize = 60;

/// What the words of `request` say. `is_here` tells whether a word is the name of something on this machine, such as
/// a process or a unit; it is asked only where that decides.
pub fn by_words(request: &str, is_here: &dyn Fn(&str) -> bool) -> Evidence {
    use Evidence::{Between, Certain};
    use Intent::{Act, Command, Diagnose, General};

    let all = words(request);
    let words = behind_politeness(&all);
    let Some((verb, rest)) = words.split_first() else {
        return Certain(General);
    };
    if all.len() > LONGEST {
        return Certain(General);
    }
    let verb = verb.as_str();
    let of_text = has(words, GENERAL) || in_a_language(words);
    if is_order(verb, rest, of_text, is_here) {
        return Certain(Act);
    }
    let files = || has(rest, FILES) || rest.iter().any(|word| is_path(word));
    if among(verb, SHELL) && !of_text && files() {
        return Certain(Command);
    }
    let generally = || {
        GENERAL_BEGINNINGS
            .split(", ")
            .any(|begin| begins(words, begin) > 0)
    };
    if of_text || generally() && !owns(words) || indefinite(words) {
        return Certain(General);
    }
    if let Some(evidence) = trouble(words, is_here) {
        return evidence;
    }
    let mends = among(verb, "fix diagnose debug check repair");
    if mends && (has(rest, MACHINE) || has(rest, RESOURCE) && owns(rest)) {
        return Certain(Diagnose);
    }
    let short = (1..=3).contains(&rest.len());
    match short {
        true if among(verb, "restart reload renice") => Between(&[Act, General]),
        true if among(verb, END) && !among(verb, "end resume close") => Between(&[General, Act]),
        _ => Certain(General),
    }
}

/// Whether it is an order to this machine.
fn is_order(verb: &str, rest: &[String], of_text: bool, is_here: &dyn Fn(&str) -> bool) -> bool {
    let any = |table| has(rest, table);
    let number = || {
        rest.iter()
            .any(|word| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let is_unit = |word: &String| {
        word.rsplit_once('.')
            .is_some_and(|(_, kind)| among(kind, "service timer socket slice scope mount"))
    };
    let named = || names(rest, is_here);
    let certain = !indefinite(rest);
    let runs = any(RUNNING) || rest.iter().any(is_unit);
    match verb {
        // Alone, or what was done here.
        "undo" | "revert" | "rollback" => {
            rest.is_empty()
                || any("last that it action actions change changes profile")
                    && !any("commit git merge branch commits")
                    && !of_text
        }
        _ if of_text => false,
        _ if among(verb, END) => {
            runs && certain
                || any(USE) && any(RESOURCE)
                || number() && !among(verb, "end stop")
                || named()
        }
        _ if among(verb, UNIT) && (runs && certain || named()) => true,
        _ if among(verb, SHARE) => {
            let part = any(RESOURCE) && (owns(rest) || any("usage use the for to of"));
            let object = runs || part || any(MACHINE) && owns(rest) || any("swappiness priority");
            certain && !any("temperature") && (object || named())
        }
        _ if among(verb, CLEAN) => any(ROOM) || any(MACHINE) && owns(rest),
        _ if among(verb, SET) && any(SETTING) => true,
        _ if among(verb, TUNE) => {
            any("for to mode into") && (any(PROFILE) || any(SETTING))
                || any(MACHINE) && owns(rest) && verb != "go"
        }
        "make" | "get" | "keep" => {
            any(BETTER) && (any(MACHINE) || any(RESOURCE)) && certain
                || any("less") && any(RESOURCE) && named()
        }
        "save" => any("battery power") && certain,
        _ => false,
    }
}

/// What a request about a trouble, or about who uses what, is.
fn trouble(words: &[String], is_here: &dyn Fn(&str) -> bool) -> Option<Evidence> {
    use Evidence::{Between, Certain};
    use Intent::{Diagnose, General};

    let any = |table| has(words, table);
    let first = words.first().map_or("", String::as_str);
    let asks = among(first, ASKING);
    let past = has(&words[..words.len().min(3)], "did was were");
    let (wrong, uses) = (any(TROUBLE), any(USE));
    let thing = any(MACHINE) || any(RESOURCE);
    let runs = any(RUNNING);
    let me = any("i me im ive");
    let here = owns(words) || me && thing || any("anything something everything here");

    if here && (wrong || uses) && (thing || runs) {
        return Some(Certain(Diagnose));
    }
    if owns(words)
        && asks
        && any(MACHINE)
        && any("doing up feeling state status ok okay fine well alright")
    {
        return Some(Certain(Diagnose));
    }
    if among(first, "do must should") && me && any("reboot restart updates update") {
        return Some(Certain(Diagnose));
    }
    if defined(words) && (wrong || uses) && asks {
        let of_the_world = past && !runs && !me && words.len() > 6;
        return Some(match of_the_world {
            true => Between(&[General, Diagnose]),
            false => Certain(Diagnose),
        });
    }
    // Who uses what: "what is eating memory", "how much swap is used".
    let who = among(
        first,
        "what whats which who whos whose how why is are did has show tell",
    );
    if who && any(RESOURCE) && uses && !past {
        return Some(match !any("does do can for in") || names(words, is_here) {
            true => Certain(Diagnose),
            false => Between(&[General, Diagnose]),
        });
    }
    if who && any("services units timers unit service") && wrong {
        return Some(Certain(Diagnose));
    }
    if among(first, "are is") && (any("updates reboot") || thing) && wrong {
        return Some(Between(&[Diagnose, General]));
    }
    // A trouble, and no thing that has it.
    let it = any("it its everything anything things all") && asks && words.len() <= 8;
    let bare = among(first, "what whats anything") && words.len() <= 3;
    if wrong && (it || bare) {
        return Some(Between(&[Diagnose, General]));
    }
    // "Why is firefox slow?": if there is one.
    if asks && (wrong || uses) && words.len() <= 10 && names(words, is_here) {
        return Some(match thing {
            true => Certain(Diagnose),
            false => Between(&[Diagnose, General]),
        });
    }
    (asks && thing && wrong && words.len() <= 8).then_some(Between(&[General, Diagnose]))
}

/// The words of a request: lower case, without punctuation at their ends and apostrophes.
fn words(request: &str) -> Vec<String> {
    request
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')' | '"'))
        .map(|word| {
            word.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '/' | '~' | '*'))
                .replace(['\'', '\u{2019}'], "")
                .to_lowercase()
        })
        .filter(|word| !word.is_empty())
        .collect()
}

/// How many of the words are this beginning; 0 if they begin otherwise.
fn begins(words: &[String], beginning: &str) -> usize {
    let mut count = 0;
    for word in beginning.split_ascii_whitespace() {
        if words.get(count).is_none_or(|seen| seen != word) {
            return 0;
        }
        count += 1;
    }
    count
}

fn behind_politeness(mut words: &[String]) -> &[String] {
    while let Some(polite @ 1..) = POLITE.split(", ").map(|polite| begins(words, polite)).max() {
        words = &words[polite..];
    }
    words
}

/// Whether a table of words has this one.
fn among(word: &str, table: &str) -> bool {
    table.split_ascii_whitespace().any(|entry| entry == word)
}

fn has(words: &[String], table: &str) -> bool {
    words.iter().any(|word| among(word, table))
}

/// Whether one of the words is the name of something that is here.
fn names(words: &[String], is_here: &dyn Fn(&str) -> bool) -> bool {
    words
        .iter()
        .any(|word| word.len() > 2 && !among(word, COMMON) && is_here(word))
}

fn is_thing(word: &str) -> bool {
    [MACHINE, RESOURCE, RUNNING]
        .iter()
        .any(|table| among(word, table))
}

/// Whether a thing is this machine's own: "my disk", "this old laptop of mine".
fn owns(words: &[String]) -> bool {
    (0..words.len()).any(|at| {
        among(&words[at], OWN) && words[at + 1..].iter().take(3).any(|word| is_thing(word))
    })
}

/// Whether a thing is a certain one: "the disk", "the root partition", or a path.
fn defined(words: &[String]) -> bool {
    (0..words.len()).any(|at| {
        let (word, behind) = (&words[at], &words[at + 1..]);
        word == "the"
            && behind.iter().take(2).any(|word| is_thing(word))
            && !has(&behind[..behind.len().min(3)], "of for in")
            || word.starts_with('/') && word.len() > 1
    })
}

/// Whether things of a kind are meant, and not those of this machine: "a computer".
fn indefinite(words: &[String]) -> bool {
    words.windows(2).any(|pair| {
        among(&pair[0], "a an any every some")
            && is_thing(&pair[1])
            && !among(
                &pair[1],
                "reboot restart process program service updates services units",
            )
    })
}

/// Whether it is about a program, or a text, in some language.
fn in_a_language(words: &[String]) -> bool {
    words
        .windows(2)
        .any(|pair| among(&pair[0], "in with using") && among(&pair[1], LANGUAGES))
}

/// Whether a word is a path, a pattern of names, or has the ending of a file.
fn is_path(word: &str) -> bool {
    word.contains('/')
        || word.starts_with('~')
        || word.starts_with('*')
        || word.rsplit_once('.').is_some_and(|(stem, ending)| {
            !stem.is_empty()
                && (2..=5).contains(&ending.len())
                && ending.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}

/// What the model may call an intent.
fn label(intent: Intent) -> &'static str {
    match intent {
        Intent::General => "knowledge",
        Intent::Diagnose => "trouble",
        Intent::Act => "action",
        Intent::Command => "command",
    }
}

/// What `request` wants. The model is asked only where the words leave it open, and none is needed where they do not.
pub fn route(
    request: &str,
    is_here: &dyn Fn(&str) -> bool,
    model: Option<&mut dyn Model>,
) -> Result<Intent, Error> {
    let choices = match by_words(request, is_here) {
        Evidence::Certain(intent) => return Ok(intent),
        Evidence::Between(choices) => choices,
    };
    let without = choices.first().copied().unwrap_or(Intent::General);
    let Some(model) = model else {
        return Ok(without);
    };
    let asked = Request {
        max_tokens: 8,
        ..Request::new(SYSTEM, format!("Request: {request}"))
            .example("Request: Why is the ocean salty?", label(Intent::General))
            .example(
                "Request: everything takes forever today, what is going on?",
                label(Intent::Diagnose),
            )
            .example("Request: shut down the torrent client", label(Intent::Act))
            .example("Request: stop procrastinating", label(Intent::General))
    };
    let labels: Vec<_> = choices.iter().map(|intent| label(*intent)).collect();
    let chosen = choice::choose(model, asked, &labels)?;
    Ok(chosen
        .and_then(|at| choices.get(at))
        .copied()
        .unwrap_or(without))
}

/// How the model is told to choose.
const SYSTEM: &str = "You sort requests that are typed at a computer. Answer with one word.\n\
    knowledge: a question about the world, a text to write, anything that is not about this computer.\n\
    trouble: asks why this computer, or a program on it, is slow, full, hot, broken or busy.\n\
    action: an order to change what runs on this computer.";

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that are in use on the machine of the tests.
    fn here(word: &str) -> bool {
        [
            "firefox", "chrome", "nginx", "postgres", "sshd", "cups", "python3", "java", "cargo",
            "rustc", "docker", "steam",
        ]
        .contains(&word)
    }

    #[track_caller]
    fn all(requests: &[&str], expected: Evidence) {
        let wrong: Vec<_> = requests
            .iter()
            .map(|request| (request, by_words(request, &here)))
            .filter(|(_, seen)| *seen != expected)
            .collect();
        assert!(wrong.is_empty(), "not {expected:?}: {wrong:#?}");
    }

    #[test]
    fn questions_about_the_world_go_to_the_model_at_once() {
        all(
            &[
                "Why is the sky blue?",
                "why is the sea salty",
                "What is the capital of France?",
                "Name a prime number.",
                "Is 7 a prime number?",
                "Write a haiku about memory",
                "Write a story about a computer that is slow",
                "Explain how swap works",
                "What is a cgroup?",
                "What is swap?",
                "what is the difference between a process and a thread",
                "How do I list open files?",
                "how to free memory in Linux",
                "How does the CPU cache work?",
                "Why are computers getting faster?",
                "Why does a laptop get hot?",
                "Why is a hard disk slower than an SSD?",
                "Is a CPU faster than a GPU?",
                "Who invented the computer?",
                "When was the first computer built?",
                "Why is my dog slow?",
                "Why is my code slow?",
                "Why is this function so slow?",
                "Optimize this SQL query for speed",
                "optimize my Python code for memory",
                "reduce memory usage in Python",
                "translate 'the disk is full' to German",
                "How does the human memory work?",
                "Why do people forget things?",
                "Tell me about the solar system",
                "Why did the Roman empire fall?",
                "Start a story about dragons",
                "Continue the story",
                "Close reading of Hamlet",
                "Clear your mind",
                "Set theory basics",
                "limit of sin(x)/x as x goes to 0",
                "Make me laugh",
                "Make a list of fruits",
                "list the planets",
                "show me a joke",
                "find a rhyme for orange",
                "count to ten",
                "free verse poem about autumn",
                "end of world war 2?",
                "stop words in NLP, what are they",
                "help me",
                "hello",
                "what time is it in Tokyo",
                "What does errno 28 mean?",
                "should I buy a laptop with more memory?",
                "if my computer had feelings, would it write poems?",
                "increase my vocabulary",
                "lower the temperature of water",
                "raise a child well",
                "get rich",
                "switch to vegetarian food",
                "What is eating disorder?",
                "Which process uses oxygen to release energy?",
                "give me ideas for dinner",
                "a",
                "",
                "?!",
                "日本の首都はどこですか",
            ],
            Evidence::Certain(Intent::General),
        );
    }

    #[test]
    fn troubles_of_this_machine_go_to_findings() {
        all(
            &[
                "why is my system slow?",
                "Why is my computer so slow",
                "why is my laptop hot?",
                "what is eating my memory",
                "What's eating my RAM?",
                "what is eating memory",
                "who is using all the CPU",
                "which process is hogging the disk?",
                "is my disk full?",
                "is the disk full?",
                "Is the root partition full?",
                "why is /var full",
                "my system is slow",
                "my computer keeps freezing",
                "why does my machine hang",
                "why is this machine swapping",
                "how much memory is left?",
                "how much swap is used",
                "how much disk space is free",
                "am I running out of memory?",
                "do I have disk space left",
                "do I need to reboot?",
                "why is the fan so loud?",
                "why is my fan spinning",
                "why is my battery draining",
                "which services failed?",
                "are any services failed",
                "what is wrong with my computer",
                "what's wrong with this server?",
                "is something wrong with my network?",
                "why is the internet down",
                "my wifi keeps disconnecting, why is the connection dropping?",
                "why is the load so high",
                "did something crash on this machine",
                "why was my program killed",
                "is anything wrong with the disks",
                "How is my system doing?",
                "fix my slow computer",
                "check my disk",
                "please tell me why my pc is slow",
                "could you tell me why my pc is slow",
                "why is firefox using so much memory",
                "why does java take all memory",
                "what is writing to the disk",
                "is my SSD dying",
                "why is the system unresponsive?",
                "what are the processes that eat my memory?",
                "why is boot taking so long on my machine",
            ],
            Evidence::Certain(Intent::Diagnose),
        );
    }

    #[test]
    fn orders_to_this_machine_go_to_actions() {
        all(
            &[
                "kill all chrome tabs eating my RAM",
                "kill chrome",
                "please kill firefox",
                "Kill 4711",
                "can you stop nginx",
                "stop the cups service",
                "restart sshd.service",
                "restart nginx",
                "disable the bluetooth service",
                "end whatever is using all my memory",
                "terminate the process with the most memory",
                "pause docker",
                "freeze all browser tabs",
                "resume firefox",
                "close the browser",
                "optimize for gaming",
                "Optimise for battery",
                "optimize for coding",
                "optimize my system for gaming",
                "optimize my computer",
                "tune this machine for performance",
                "switch to power-saver",
                "switch to performance mode",
                "set swappiness to 10",
                "set the power profile to balanced",
                "limit chrome to 2 GB of memory",
                "limit the memory of firefox",
                "throttle cargo",
                "renice rustc",
                "lower the priority of postgres",
                "give steam more CPU",
                "free memory",
                "free up some RAM",
                "clear the caches",
                "clean the package cache",
                "drop caches",
                "vacuum the journal",
                "make my computer faster",
                "make my laptop quieter",
                "speed up my computer",
                "reduce memory usage",
                "undo",
                "undo the last action",
                "I want you to kill all java processes",
                "save battery",
            ],
            Evidence::Certain(Intent::Act),
        );
    }

    #[test]
    fn orders_about_files_are_commands() {
        all(
            &[
                "find all files larger than 1 GB",
                "list the ten biggest files in my home directory",
                "unpack archive.tar.gz",
                "delete all *.o files below src/",
                "count the lines of main.rs",
                "rename all photos by date",
                "show the files that changed today",
                "copy notes.txt to /tmp",
                "install the package ripgrep",
                "create a directory called build",
            ],
            Evidence::Certain(Intent::Command),
        );
    }

    #[test]
    fn what_has_two_readings_is_left_to_the_model() {
        for request in [
            "why is it so slow?",
            "why is everything so slow",
            "what is wrong?",
            "is anything wrong?",
            "why is firefox slow?",
            "kill bill",
            "restart thingy",
            "stop complaining",
            "how much memory does vim use?",
        ] {
            let seen = by_words(request, &here);
            assert!(matches!(seen, Evidence::Between(_)), "{request}: {seen:?}");
        }
    }

    #[test]
    fn names_are_looked_up_only_where_they_decide() {
        let asked = std::cell::Cell::new(0);
        let count = |_: &str| {
            asked.set(asked.get() + 1);
            false
        };
        for request in [
            "Why is the sky blue?",
            "why is my system slow?",
            "Write a poem about rust",
            "optimize for gaming",
        ] {
            by_words(request, &count);
        }
        assert_eq!(asked.get(), 0);
        by_words("kill thingy", &count);
        assert_ne!(asked.get(), 0);
    }

    #[test]
    fn a_pasted_text_is_no_order() {
        let text = "kill the process ".repeat(30);
        assert_eq!(by_words(&text, &here), Evidence::Certain(Intent::General));
    }
}
