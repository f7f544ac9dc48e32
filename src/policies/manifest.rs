//! `manifest.toml` of a set: what it is called, which version it is, who answers for it, and what its house asks of rules.

use crate::model::Spot;
use crate::policy::{Demands, Fault, Source, end_of_day};
use serde::Deserialize;
use toml::Spanned;

/// Without a file: version 0 of nobody's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    pub name: String,
    /// Rises with each set that is given out.
    pub version: u64,
    pub owner: String,
    /// The first second after its last day: a set that is taken up later is refused.
    pub expires_at: Option<u64>,
    pub demands: Demands,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Spanned<String>,
    version: Spanned<i64>,
    #[serde(default)]
    owner: String,
    expires: Option<Spanned<String>>,
    #[serde(default)]
    require: Vec<Spanned<String>>,
}

const MOST_NAME: usize = 64;

impl Manifest {
    pub fn parse(source: &Source) -> Result<Self, Vec<Fault>> {
        let written: Written = toml::from_str(&source.text)
            .map_err(|error| vec![fault(source, error.span().map_or(0, |span| span.start), error.message(), SHAPE)])?;
        let mut faults = Vec::new();
        let mut say = |at: usize, message: String, hint: &str| faults.push(fault(source, at, &message, hint));
        let name = written.name.get_ref();
        if name.is_empty() || name.len() > MOST_NAME || name.chars().any(char::is_control) {
            say(written.name.span().start, "the name is empty or too long".into(), "a word or two, at most 64 bytes");
        }
        let version = u64::try_from(*written.version.get_ref()).unwrap_or_else(|_| {
            say(written.version.span().start, "the version is below 0".into(), "count up from 1");
            0
        });
        let expires_at = written.expires.as_ref().and_then(|text| {
            let end = end_of_day(text.get_ref());
            if end.is_none() {
                say(text.span().start, format!("{:?} is no date", text.get_ref()), "write the last day as 2027-01-31");
            }
            end
        });
        let mut demands = Demands::default();
        for word in &written.require {
            match word.get_ref().as_str() {
                "hours" => demands.hours = true,
                "network" => demands.network = true,
                other => say(word.span().start, format!("nothing is called {other:?}"), "there are hours and network"),
            }
        }
        let manifest = Self { name: name.clone(), version, owner: written.owner, expires_at, demands };
        if faults.is_empty() { Ok(manifest) } else { Err(faults) }
    }

    pub fn is_over(&self, unix_seconds: u64) -> bool {
        self.expires_at.is_some_and(|end| unix_seconds >= end)
    }
}

const SHAPE: &str = "it has name and version, and may have owner, expires and require = [\"hours\", \"network\"]";

fn fault(source: &Source, at: usize, message: &str, hint: &str) -> Fault {
    let spot = Spot::at(&source.name, &source.text, at);
    Fault { spot, code: "manifest", message: message.to_owned(), hint: Some(hint.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Manifest, String> {
        let source = Source { name: "manifest.toml".into(), text: text.into() };
        Manifest::parse(&source).map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn a_manifest_says_which_set_it_is() {
        let manifest =
            of("name = \"acme\"\nversion = 7\nexpires = \"2026-12-31\"\nrequire = [\"hours\"]\n").expect("good");
        assert_eq!((manifest.version, manifest.demands.hours, manifest.demands.network), (7, true, false));
        assert!(!manifest.is_over(1_798_761_599) && manifest.is_over(1_798_761_600), "the last day counts");
    }

    #[test]
    fn every_fault_of_it_is_told_with_its_place() {
        let told = of("name = \"\"\nversion = -1\nexpires = \"soon\"\nrequire = [\"luck\"]\n").unwrap_err();
        insta::assert_snapshot!(told, @r#"
        manifest.toml:1:8: the name is empty or too long (a word or two, at most 64 bytes)
        manifest.toml:2:11: the version is below 0 (count up from 1)
        manifest.toml:3:11: "soon" is no date (write the last day as 2027-01-31)
        manifest.toml:4:12: nothing is called "luck" (there are hours and network)
        "#);
        assert!(of("version = 1\n").unwrap_err().contains("name"));
    }
}
