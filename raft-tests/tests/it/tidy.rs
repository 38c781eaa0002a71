//! House rules that no compiler checks. Reads the source tree; each fault is a line `file:line: rule`.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

const MAX_LINES: usize = 600;
const MAX_COLUMNS: usize = 120;

/// Crates that only one layer may name, and that layer's folders.
const OWNED_CRATES: [(&str, &[&str]); 4] = [
    ("openraft", &["src/raft/"]),
    ("rocksdb", &["src/store/"]),
    ("quinn", &["src/transport/"]),
    ("rustls", &["src/transport/", "src/identity/"]),
];

/// Layers, and what each must not import: adapters meet in `peer` and nowhere else.
const LAYERS: [(&str, &[&str]); 7] = [
    ("src/id.rs", &["core", "raft", "store", "transport", "actor", "checkpoint", "peer", "wire"]),
    ("src/core/", &["raft", "store", "transport", "identity", "actor", "checkpoint", "peer", "wire"]),
    ("src/raft/", &["transport", "identity", "actor", "checkpoint", "peer"]),
    ("src/store/", &["core", "raft", "transport", "identity", "actor", "checkpoint", "peer", "wire"]),
    ("src/transport/", &["core", "raft", "store", "actor", "checkpoint", "peer", "wire"]),
    ("src/identity/", &["core", "raft", "store", "transport", "actor", "checkpoint", "peer", "wire"]),
    (
        "src/actor/",
        &["core::state", "core::apply", "raft", "store", "transport", "identity", "checkpoint", "wire"],
    ),
];

/// What the core must not touch: with any of these, two peers could apply the same log differently.
const IMPURE: [&str; 12] = [
    "tokio",
    "SystemTime",
    "Instant",
    "BootClock",
    "dyn Clock",
    "rand::",
    "getrandom",
    "HashMap",
    "HashSet",
    "std::fs",
    "std::net::Udp",
    "std::thread",
];

/// What ends a process, or a task, instead of an error.
const PANICS: [&str; 6] = [".unwrap()", ".expect(", "panic!(", "unreachable!(", "todo!(", "unimplemented!("];

/// Panics that stay: file, text of the line, and why it cannot strike a user.
const REASONED: [(&str, &str, &str); 4] = [
    ("src/testing/cluster.rs", "this peer was killed", "a harness for tests: the panic is documented"),
    ("src/testing/cluster.rs", "a node id of this cluster", "a harness for tests: the panic is documented"),
    ("src/testing/cluster.rs", "this peer is simulated", "a harness for tests: the panic is documented"),
    ("src/actor/context.rs", "outside the runtime's own tests", "every actor starts inside a peer"),
];

/// Words that have no place in what is merged.
const LEFTOVERS: [&str; 5] = ["dbg!(", concat!("TO", "DO"), concat!("FIX", "ME"), "DESIGN", "#[ignore]"];

struct Source {
    path: String,
    text: String,
    is_test: bool,
}

struct Fault {
    path: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

impl Source {
    fn new(path: String, text: String) -> Self {
        let is_test = path.contains("/tests/") || path.ends_with("tests.rs");
        Self { path, text, is_test }
    }

    /// The file or folder of each module that is compiled for tests only.
    fn test_modules(&self) -> Vec<String> {
        let dir = match self.path.rsplit_once('/') {
            Some((dir, "mod.rs" | "lib.rs" | "main.rs")) => dir,
            _ => self.path.trim_end_matches(".rs"),
        };
        let after_cfg = self.text.split("#[cfg(test)]\n").skip(1);
        let declared =
            after_cfg.filter_map(|rest| rest.lines().next()?.strip_prefix("mod ")?.strip_suffix(';'));
        declared.map(|name| format!("{dir}/{name}")).collect()
    }

    fn fault(&self, line: usize, rule: impl Into<String>) -> Fault {
        Fault { path: self.path.clone(), line, rule: rule.into() }
    }

    /// Lines of code that ships: numbered, without comments, without what is compiled for tests only.
    fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        let code = if self.is_test { "" } else { before_inline_tests(&self.text) };
        numbered(code).map(|(n, line)| (n, without_comment(line)))
    }
}

/// Inline tests are the last thing in a file here.
fn before_inline_tests(text: &str) -> &str {
    let begins = ["\n#[cfg(test)]\nmod tests {", "\n#[cfg(test)]\n#[allow"];
    let end = begins.iter().filter_map(|b| text.find(b)).min();
    end.map_or(text, |at| &text[..at])
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line))
}

fn without_comment(line: &str) -> &str {
    let line = line.trim_start();
    if line.starts_with("//") { "" } else { line.split(" // ").next().unwrap_or(line) }
}

/// Whether `word` stands in `line` as a path's first segment or an import, not as a part of another name.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let inside = |c: char| c.is_alphanumeric() || c == '_' || c == '"' || c == '.';
        !before.is_some_and(inside) && after.is_some_and(|c| c == ':' || c == ';')
    })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for folder in ["src", "raft-tests", "examples"] {
        collect(&root().join(folder), folder, &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 50, "the source tree was not found");
    let test_modules: Vec<String> = found.iter().flat_map(Source::test_modules).collect();
    for source in &mut found {
        let module = test_modules.iter().find_map(|m| source.path.strip_prefix(m.as_str()));
        source.is_test |= module.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'));
    }
    found
}

fn collect(dir: &Path, name: &str, found: &mut Vec<Source>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &path, found);
        } else if path.ends_with(".rs") {
            found.push(Source::new(path, fs::read_to_string(entry.path()).unwrap()));
        }
    }
}

fn expect_none(faults: Vec<Fault>) {
    let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
    assert!(lines.is_empty(), "{} faults:\n{}", lines.len(), lines.join("\n"));
}

fn shape(source: &Source) -> Vec<Fault> {
    let long = source.text.lines().count() > MAX_LINES;
    let mut faults: Vec<Fault> =
        long.then(|| source.fault(MAX_LINES, format!("more than {MAX_LINES} lines"))).into_iter().collect();
    for (n, line) in numbered(&source.text) {
        if line.chars().count() > MAX_COLUMNS {
            faults.push(source.fault(n, format!("more than {MAX_COLUMNS} columns")));
        }
    }
    faults
}

fn panics(source: &Source) -> Vec<Fault> {
    if !source.path.starts_with("src/") {
        return vec![];
    }
    let reasoned =
        |line: &str| REASONED.iter().any(|(path, text, _)| source.path == *path && line.contains(text));
    source
        .shipped()
        .filter(|(_, line)| !reasoned(line))
        .flat_map(|(n, line)| PANICS.iter().filter(move |p| line.contains(**p)).map(move |p| (n, p)))
        .map(|(n, p)| source.fault(n, format!("{p} in code that ships")))
        .collect()
}

fn layers(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (n, line) in source.shipped() {
        for (krate, folders) in OWNED_CRATES {
            let owned =
                source.path.starts_with("src/") && !folders.iter().any(|f| source.path.starts_with(f));
            if owned && names(line, krate) {
                faults.push(source.fault(n, format!("{krate} outside of {folders:?}")));
            }
        }
        let forbidden = LAYERS.iter().filter(|(layer, _)| source.path.starts_with(layer));
        for (layer, others) in forbidden {
            for other in others.iter().filter(|o| names(line, &format!("crate::{o}"))) {
                faults.push(source.fault(n, format!("{layer} imports {other}")));
            }
        }
        if source.path.starts_with("src/core/") {
            let impure = IMPURE.iter().filter(|word| line.contains(**word));
            faults.extend(impure.map(|word| source.fault(n, format!("{word} in the pure core"))));
        }
    }
    faults
}

fn leftovers(source: &Source) -> Vec<Fault> {
    if source.path.ends_with("it/tidy.rs") {
        return vec![];
    }
    numbered(&source.text)
        .flat_map(|(n, line)| LEFTOVERS.iter().filter(move |w| line.contains(**w)).map(move |w| (n, w)))
        .map(|(n, word)| source.fault(n, format!("{word} was left behind")))
        .collect()
}

#[test]
fn files_are_short_and_lines_fit_a_screen() {
    expect_none(sources().iter().flat_map(shape).collect());
}

#[test]
fn code_that_ships_returns_errors_instead_of_panicking() {
    expect_none(sources().iter().flat_map(panics).collect());
}

#[test]
fn layers_meet_in_peer_and_nowhere_else_and_the_core_is_pure() {
    expect_none(sources().iter().flat_map(layers).collect());
}

#[test]
fn nothing_was_left_behind() {
    expect_none(sources().iter().flat_map(leftovers).collect());
}

/// The texts of a file's warnings and errors, each up to its first value or clause.
fn log_lines(source: &Source) -> Vec<(usize, String)> {
    let code: String = source.shipped().flat_map(|(_, line)| [line.trim_start(), "\n"]).collect();
    let calls = ["tracing::warn!(", "tracing::error!("];
    let calls = calls.iter().flat_map(|call| code.match_indices(call).map(|(at, _)| at));
    let text = |at: usize| {
        let call = code[at..].split(");\n").next().unwrap_or_default().replace("\\\n", "");
        let text = call.rsplit('"').nth(1).unwrap_or_default();
        text.split(['{', ';']).next().unwrap_or_default().trim_end_matches([' ', ':']).to_owned()
    };
    calls.map(|at| (code[..at].lines().count() + 1, text(at))).filter(|(_, text)| !text.is_empty()).collect()
}

#[test]
fn the_readme_tells_operators_what_each_warning_means() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut found = 0;
    let mut faults = Vec::new();
    for source in sources().iter().filter(|s| s.path.starts_with("src/") && !s.path.contains("/testing/")) {
        for (n, text) in log_lines(source) {
            found += 1;
            if !readme.contains(&format!("`{text}")) {
                faults.push(source.fault(n, format!("{text:?} is not in the README")));
            }
        }
    }
    assert!(found > 20, "only {found} log lines were found");
    expect_none(faults);
}

#[test]
fn every_reasoned_panic_is_still_there() {
    let sources = sources();
    for (path, text, _why) in REASONED {
        let there =
            sources.iter().any(|s| s.path == path && s.shipped().any(|(_, line)| line.contains(text)));
        assert!(there, "{path} has no panic with {text:?} any more: strike it from the list");
    }
}

#[test]
fn each_rule_finds_what_it_forbids() {
    let found = |path: &str, text: &str, rule: fn(&Source) -> Vec<Fault>| {
        rule(&Source::new(path.to_owned(), text.to_owned())).len()
    };
    assert_eq!(found("src/a.rs", &"x\n".repeat(MAX_LINES + 1), shape), 1);
    assert_eq!(found("src/a.rs", &"x".repeat(MAX_COLUMNS + 1), shape), 1);
    assert_eq!(found("src/a.rs", "fn f() { g().unwrap() }", panics), 1);
    assert_eq!(found("src/a.rs", "/// g().unwrap()", panics), 0);
    assert_eq!(found("src/a/tests.rs", "fn f() { g().unwrap() }", panics), 0);
    assert_eq!(found("src/a.rs", "x\n#[cfg(test)]\nmod tests {\ng().unwrap()", panics), 0);
    assert_eq!(found("src/peer/a.rs", "use openraft::Raft;", layers), 1);
    assert_eq!(found("src/peer/a.rs", "use standin_openraft::Raft;", layers), 0);
    assert_eq!(found("src/raft/a.rs", "let x = crate::transport::Transport::bind();", layers), 1);
    assert_eq!(found("src/raft/a.rs", "use crate::store::Store;", layers), 0);
    assert_eq!(found("src/core/a.rs", "use std::collections::HashMap;", layers), 1);
    assert_eq!(found("src/a.rs", "x(); // see DESIGN 4", leftovers), 1);
    let (warning, error) =
        ("tracing::warn!(a = %b, \"it is {x}; so\")", "tracing::error!(%e, \"one \\\n line: {e}\")");
    let logs = log_lines(&Source::new("src/a.rs".to_owned(), format!("f();\n{warning};\n{error};\n")));
    assert_eq!(logs, [(2, "it is".to_owned()), (3, "one line".to_owned())]);
    let parent = Source::new("src/core/mod.rs".to_owned(), "#[cfg(test)]\nmod model;\nmod lease;".to_owned());
    assert_eq!(parent.test_modules(), ["src/core/model"]);
}
