//! Rust sources as the floors test reads them: text in, the paths that lead out of a file back.
//!
//! A small lexer, not a parser: it knows comments, literals, braces and `use` trees, and nothing of types or macros.
//! Always holds: blanking comments and literals moves no line, so a fault stands where it is reported.

use std::fs;
use std::path::Path;

/// One path of the source that starts at `crate`, `super`, `self` or our own package's name.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
    pub(crate) found: Found,
    /// Inline modules around it; a `super` may leave these before it leaves the file.
    pub(crate) modules: usize,
    /// Inside a module that only tests are built with.
    pub(crate) test: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// In a `use` item of a file or module.
    Use,
    /// In a `use` item inside a function.
    BuriedUse,
    /// Anywhere else: an expression, a type, a macro.
    Path,
    /// In `pub(in …)`, which only narrows.
    Visibility,
}

/// Every `.rs` file below a folder, with its path from there, in a stable order.
pub(crate) fn rust_files(under: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![under.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository can be read").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(under).expect("the walk started there").to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(&path).expect("sources are UTF-8")));
            }
        }
    }
    found.sort();
    found
}

/// The source with every comment and literal blanked.
pub(crate) fn plain(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => line_end(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => comment_end(&chars, at),
            '"' => string_end(&chars, at),
            '\'' => char_end(&chars, at),
            'r' | 'b' | 'c' if !follows_a_word(&chars, at) => prefixed_end(&chars, at),
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

fn follows_a_word(chars: &[char], at: usize) -> bool {
    at > 0 && is_word(chars[at - 1])
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_end(chars: &[char], from: usize) -> usize {
    (from..chars.len()).find(|at| chars[*at] == '\n').unwrap_or(chars.len())
}

fn comment_end(chars: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (at, depth) = (at + 2, depth + 1),
            ('*', Some('/')) => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// A character literal; a lifetime is no literal and ends where it began.
fn char_end(chars: &[char], from: usize) -> usize {
    match (chars.get(from + 1), chars.get(from + 2)) {
        (Some('\\'), _) => (from + 3..chars.len()).find(|at| chars[*at] == '\'').map_or(chars.len(), |at| at + 1),
        (Some(_), Some('\'')) => from + 3,
        _ => from,
    }
}

/// `r"…"`, `br#"…"#`, `b'…'`, `c"…"`; a word that only starts with such a letter ends where it began.
fn prefixed_end(chars: &[char], from: usize) -> usize {
    let mut at = from;
    while at < chars.len() && at < from + 2 && matches!(chars[at], 'r' | 'b' | 'c') {
        at += 1;
    }
    let raw = chars[from..at].contains(&'r');
    let hashes = if raw { chars[at..].iter().take_while(|c| **c == '#').count() } else { 0 };
    match chars.get(at + hashes) {
        Some('"') if raw => {
            let closes = |end: &usize| chars[*end] == '"' && chars[end + 1..].iter().take(hashes).all(|c| *c == '#');
            (at + hashes + 1..chars.len()).find(closes).map_or(chars.len(), |end| (end + 1 + hashes).min(chars.len()))
        }
        Some('"') => string_end(chars, at),
        Some('\'') if chars[from] == 'b' && at == from + 1 => char_end(chars, at),
        _ => from,
    }
}

struct Token {
    text: String,
    line: usize,
}

fn tokens(text: &str) -> Vec<Token> {
    let plain = plain(text);
    let mut found: Vec<Token> = Vec::new();
    for (at, line) in plain.lines().enumerate() {
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            let length = match c {
                _ if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                _ => c.len_utf8(),
            };
            if !c.is_whitespace() {
                found.push(Token { text: rest[..length].to_owned(), line: at + 1 });
            }
            rest = &rest[length..];
        }
    }
    found
}

#[derive(Clone, Copy)]
enum Block {
    Module { test: bool },
    Other,
}

/// Every path that leads out of the module it stands in.
pub(crate) fn ways(text: &str) -> Vec<Way> {
    let tokens = tokens(text);
    let word = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let (mut found, mut blocks): (Vec<Way>, Vec<Block>) = (Vec::new(), Vec::new());
    let (mut at, mut test_attribute) = (0, false);
    while at < tokens.len() {
        let line = tokens[at].line;
        let modules = blocks.iter().filter(|block| matches!(block, Block::Module { .. })).count();
        let test = blocks.iter().any(|block| matches!(block, Block::Module { test: true }));
        let way = |segments, found| Way { line, segments, found, modules, test };
        match word(at) {
            "#" => {
                let end = attribute_end(&tokens, at);
                test_attribute |= end - at == 6 && (word(at + 2), word(at + 4)) == ("cfg", "test");
                at = end;
            }
            "mod" if word(at + 2) == "{" => {
                blocks.push(Block::Module { test: test_attribute });
                (at, test_attribute) = (at + 2, false);
            }
            "{" => blocks.push(Block::Other),
            "}" => drop(blocks.pop()),
            // `use<'a>` in a return type captures lifetimes and imports nothing.
            "use" if word(at + 1) != "<" => {
                let buried = blocks.iter().any(|block| matches!(block, Block::Other));
                let (paths, end) = use_tree(&tokens, at + 1, &[]);
                let kind = if buried { Found::BuriedUse } else { Found::Use };
                found.extend(paths.into_iter().map(|segments| way(segments, kind)));
                at = end;
            }
            "crate" | "super" | "self" | "mi_gateway" if word(at + 1) == "::" => {
                let kind = if at > 0 && word(at - 1) == "in" { Found::Visibility } else { Found::Path };
                let mut segments = vec![word(at).to_owned()];
                while word(at + 1) == "::" && word(at + 2).starts_with(is_word) {
                    segments.push(word(at + 2).to_owned());
                    at += 2;
                }
                found.push(way(segments, kind));
            }
            _ => {}
        }
        if matches!(tokens.get(at).map(|token| token.text.as_str()), Some(";" | "{" | "}")) {
            test_attribute = false;
        }
        at += 1;
    }
    found
}

/// The index of the attribute's closing bracket.
fn attribute_end(tokens: &[Token], from: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(from + 1) {
        match token.text.as_str() {
            "[" => depth += 1,
            "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 && token.text != "!" {
            return at;
        }
    }
    tokens.len()
}

/// The paths of a `use` tree, and the index of the token that ended it.
fn use_tree(tokens: &[Token], from: usize, prefix: &[String]) -> (Vec<Vec<String>>, usize) {
    let (mut paths, mut path, mut at) = (Vec::new(), prefix.to_vec(), from);
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "::" => {}
            "as" => at += 1,
            "{" => {
                loop {
                    let (inner, end) = use_tree(tokens, at + 1, &path);
                    paths.extend(inner);
                    at = end;
                    if tokens.get(at).is_none_or(|token| token.text != ",") {
                        break;
                    }
                }
                path = prefix.to_vec();
            }
            "," | "}" | ";" => break,
            segment => path.push(segment.to_owned()),
        }
        at += 1;
    }
    if path.len() > prefix.len() {
        paths.push(path);
    }
    (paths, at)
}
