//! Signed sets: whatever is done to a bundle, nothing decides that the right keys have not signed.

use super::super::{BundleFault, SigningKey, Trust, TrustedKey, open_bundle, pack, read, sign};
use super::{
    Active, Error, FORBID, HERE, Kept, Metrics, PERMIT, Rollback, Settings, Site, any_limits, case, known_layouts,
};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

/// Somebody with a folder of rules, keys, and a gateway that trusts some of them.
pub(super) struct Office {
    held: tempfile::TempDir,
}

impl Office {
    pub(super) fn new() -> Self {
        let office = Self { held: tempfile::tempdir().expect("a folder") };
        fs::create_dir_all(office.path("rules/tests")).expect("a folder");
        office.write("a.cedar", PERMIT);
        office.version(1);
        office
    }

    fn path(&self, name: &str) -> PathBuf {
        self.held.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.path("rules").join(name), text).expect("a file");
    }

    pub(super) fn version(&self, version: u64) {
        self.write("manifest.toml", &format!("name = \"acme\"\nversion = {version}\n"));
    }

    fn key(&self, name: &str) -> SigningKey {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(pem) => SigningKey::parse(&pem).expect("a key of our own"),
            Err(_) => SigningKey::make(&path).expect("a new key"),
        }
    }

    fn public(&self, name: &str) -> TrustedKey {
        TrustedKey::parse(self.key(name).public().pem().as_bytes()).expect("a public key of our own")
    }

    fn signed(&self, by: &[&str]) -> Vec<u8> {
        let unsigned = pack(&read(&self.path("rules")).expect("a folder")).expect("a set");
        by.iter().fold(unsigned, |bundle, name| sign(&bundle, &self.key(name)).expect("a bundle"))
    }

    pub(super) fn give_out(&self, by: &[&str]) {
        fs::write(self.path("set"), self.signed(by)).expect("a file");
    }

    pub(super) fn trust(&self, keys: &[&str], signatures: usize) -> Trust {
        Trust { keys: keys.iter().map(|name| self.public(name)).collect(), signatures }
    }

    pub(super) fn settings(&self, trust: Trust) -> Settings {
        let kept = Some(Kept::at(self.path("kept")));
        Settings { dir: self.path("set"), trust, kept, ..Settings::default() }
    }

    fn start(&self, trust: &[&str]) -> Result<Arc<Active>, Error> {
        Active::load(self.settings(self.trust(trust, 1)), Site::of(HERE), known_layouts(), any_limits(), Metrics::new())
    }
}

fn trouble(active: &Active) -> String {
    active.look(&|_| {});
    active.in_force().trouble.clone().unwrap_or_default()
}

#[test]
fn the_same_folder_makes_the_same_bytes_and_opens_as_the_folder_is_read() {
    let office = Office::new();
    office.write("tests/all.toml", &case("allow"));
    let bundle = office.signed(&["one"]);
    assert_eq!(bundle, office.signed(&["one"]));
    let opened = open_bundle(bundle, &office.trust(&["one"], 1)).expect("signed");
    let folder = read(&office.path("rules")).expect("a folder");
    assert_eq!((&opened.cedar, &opened.cases, &opened.manifest), (&folder.cedar, &folder.cases, &folder.manifest));
    assert_eq!(opened.limits, folder.limits);
}

#[test]
fn a_changed_byte_anywhere_is_found() {
    let office = Office::new();
    // As small as a set can be: each of its bytes is changed in turn.
    office.write("limits.toml", "[default]\nrate = \"1/second\"\nburst = 1\n");
    let (bundle, trust) = (office.signed(&["one"]), office.trust(&["one"], 1));
    assert!(open_bundle(bundle.clone(), &trust).is_ok());
    for at in 0..bundle.len() {
        for flip in [0x01, 0x20, 0x80] {
            let mut changed = bundle.clone();
            changed[at] ^= flip;
            assert!(open_bundle(changed, &trust).is_err(), "byte {at} of {}", bundle.len());
        }
        assert!(open_bundle(bundle[..at].to_vec(), &trust).is_err(), "cut at {at}");
    }
    for behind in [&b"\n"[..], b" ", b"{}"] {
        assert!(open_bundle([&bundle, behind].concat(), &trust).is_err(), "something was put behind it");
    }
}

#[test]
fn as_many_different_keys_as_are_asked_for_have_to_sign() {
    let office = Office::new();
    let both = office.trust(&["one", "two"], 2);
    let open = |by: &[&str]| open_bundle(office.signed(by), &both);
    assert!(open(&["one", "two"]).is_ok());
    assert!(open(&["two", "one", "stranger"]).is_ok(), "a stranger's signature takes nothing away");
    for by in [&["one"][..], &["one", "one"], &["one", "stranger"], &[]] {
        let fault = open(by).expect_err("too few");
        assert!(matches!(fault, BundleFault::Signatures { wanted: 2, .. }), "{by:?}: {fault}");
    }
    // The same line twice is one signature.
    let once = String::from_utf8(office.signed(&["one"])).expect("text");
    let line = once.lines().nth(1).expect("a signature");
    let twice = once.replacen(line, &format!("{line}\n{line}"), 1);
    assert!(open_bundle(twice.into_bytes(), &both).is_err());
    // A signature under another key's name counts for neither.
    let renamed = once.replacen(office.public("one").id().as_str(), office.public("two").id().as_str(), 1);
    let one = office.trust(&["one", "two"], 1);
    assert!(open_bundle(renamed.into_bytes(), &one).is_err());
}

#[test]
fn what_no_set_holds_is_in_no_bundle() {
    let office = Office::new();
    let trust = office.trust(&["one"], 1);
    let open = |content: &str| {
        let unsigned = format!("mi-gateway-policy-bundle 1\n\n{content}").into_bytes();
        open_bundle(sign(&unsigned, &office.key("one")).expect("a form"), &trust).map(drop)
    };
    let file = |name: &str, text: &str| format!("{{\"name\":{name:?},\"text\":{text:?}}}");
    let manifest = file("manifest.toml", "name = \"a\"\nversion = 1\n");
    let set = |more: &str| {
        format!("{{\"files\":[{},{},{manifest}{more}]}}", file("a.cedar", PERMIT), file("limits.toml", ""))
    };
    assert_eq!(open(&set("")), Ok(()));
    for name in
        ["../a.cedar", "/etc/a.cedar", ".a.cedar", "tests/../a.toml", "tests/a.cedar", "README.md", "a\\b.cedar"]
    {
        let fault = open(&set(&format!(",{}", file(name, "")))).expect_err(name).to_string();
        assert!(fault.contains("is no file of a policy set"), "{fault}");
    }
    assert!(open(&set(&format!(",{}", file("a.cedar", "")))).expect_err("twice").to_string().contains("twice"));
    assert!(open(&set("").replace(&manifest, &file("tests/a.toml", ""))).is_err(), "no version");
    assert!(open("{\"files\":[],\"more\":1}").is_err());
}

#[test]
fn a_running_gateway_takes_up_what_is_signed_and_newer_and_nothing_else() {
    let office = Office::new();
    office.give_out(&["one"]);
    let active = office.start(&["one"]).expect("a signed set");
    assert_eq!(active.in_force().signers, [office.public("one").id().as_str()]);
    office.version(2);
    office.write("b.cedar", FORBID);
    office.give_out(&["stranger"]);
    assert!(trouble(&active).contains("0 of 1 signatures"), "{}", trouble(&active));
    assert_eq!(active.in_force().version, 1, "the last good set stays");
    office.give_out(&["one"]);
    assert_eq!(trouble(&active), "");
    assert_eq!(active.in_force().version, 2);
    let second = active.set().hash().to_owned();

    office.version(1);
    office.give_out(&["one"]);
    assert!(trouble(&active).contains("older than version 2"));
    office.version(2);
    office.write("b.cedar", "");
    office.give_out(&["one"]);
    assert!(trouble(&active).contains("count it up"), "{}", trouble(&active));
    fs::write(office.path("set"), "permit (principal, action, resource);").expect("a file");
    assert!(trouble(&active).contains("no policy bundle"));
    fs::remove_file(office.path("set")).expect("removed");
    assert!(!trouble(&active).is_empty(), "and the shipped rules don't come back");
    fs::create_dir(office.path("set")).expect("a folder");
    fs::write(office.path("set/a.cedar"), PERMIT).expect("a file");
    assert!(trouble(&active).contains("no signed bundle"), "{}", trouble(&active));
    assert_eq!(active.set().hash(), second);
}

#[test]
fn other_limits_under_the_same_version_are_another_set_and_refused() {
    let office = Office::new();
    office.write("limits.toml", "[default]\nper_second = 5\nburst = 5\n");
    office.give_out(&["one"]);
    let active = office.start(&["one"]).expect("a signed set");
    office.write("limits.toml", "[default]\nper_second = 5000\nburst = 5000\n");
    office.give_out(&["one"]);
    let taken = std::cell::Cell::new(false);
    active.look(&|_| taken.set(true));
    assert!(!taken.get(), "nothing of it comes into force");
    assert!(
        active.in_force().trouble.as_ref().is_some_and(|why| why.contains("count it up")),
        "{:?}",
        active.in_force()
    );
    office.version(2);
    office.give_out(&["one"]);
    active.look(&|_| taken.set(true));
    assert!(taken.get(), "with a version of its own it does");
    assert_eq!((active.in_force().version, trouble(&active).as_str()), (2, ""));
}

#[test]
fn an_older_version_stays_refused_over_a_restart_and_going_back_is_said() {
    let office = Office::new();
    office.give_out(&["one"]);
    let first = office.signed(&["one"]);
    drop(office.start(&["one"]).expect("version 1"));
    office.version(2);
    office.write("b.cedar", FORBID);
    office.give_out(&["one"]);
    drop(office.start(&["one"]).expect("version 2"));
    fs::write(office.path("set"), &first).expect("a file");
    let active = office.start(&["one"]).expect("the last good one");
    assert_eq!(active.in_force().version, 2, "an old bundle that somebody kept is no way back");
    assert!(active.in_force().trouble.as_ref().is_some_and(|why| why.contains("older than version 2")));
    let kept = Kept::at(office.path("kept"));
    let to = kept.sets().expect("a list")[0].id.clone();
    kept.go_back(&Rollback { to, at: 0 }).expect("written");
    assert_eq!(trouble(&active), "");
    assert_eq!((active.in_force().version, active.in_force().rolled_back), (1, true));
    assert_eq!(active.in_force().signers.len(), 1, "what is gone back to is signed too");
}

#[test]
fn a_set_that_could_not_be_held_against_what_was_kept_is_looked_at_again() {
    let office = Office::new();
    office.give_out(&["one"]);
    let active = office.start(&["one"]).expect("version 1");
    office.version(2);
    office.give_out(&["one"]);
    let (highest, aside) = (office.path("kept/highest.json"), office.path("aside"));
    fs::rename(&highest, &aside).expect("moved");
    fs::create_dir(&highest).expect("a folder in its place");
    assert!(trouble(&active).contains("highest.json"), "{}", trouble(&active));
    assert_eq!(active.in_force().version, 1);
    fs::remove_dir(&highest).expect("removed");
    fs::rename(&aside, &highest).expect("as it was");
    assert_eq!((trouble(&active).as_str(), active.in_force().version), ("", 2), "nobody had to touch the files");
}

#[test]
fn what_was_kept_is_believed_anew_at_a_restart() {
    let office = Office::new();
    office.give_out(&["old"]);
    drop(office.start(&["old"]).expect("a signed set"));
    fs::write(office.path("set"), "torn").expect("a file");
    assert_eq!(office.start(&["old"]).expect("the kept one").in_force().version, 1);
    // The key is trusted no more: neither are the sets that it signed.
    assert!(matches!(office.start(&["new"]), Err(Error::Bundle { .. })));
    // Somebody who can write files can't make a set of his own out of a kept one.
    let kept = Kept::at(office.path("kept"));
    let folder = kept.folder(&kept.sets().expect("a list")[0].id);
    fs::remove_file(folder.join("set.bundle")).expect("removed");
    assert!(office.start(&["old"]).is_err());
}

#[test]
fn keys_are_those_of_other_tools_and_a_private_one_is_not_written_over() {
    // Made with `openssl genpkey -algorithm ed25519`.
    let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    let key = SigningKey::parse(private.as_bytes()).expect("the example of RFC 8410");
    assert_eq!(key.public(), TrustedKey::parse(public.as_bytes()).expect("its public half"));
    assert_eq!(key.public().pem(), public);
    assert!(!format!("{key:?}").contains("1O5y"));
    for wrong in ["", public, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        assert!(SigningKey::parse(wrong.as_bytes()).is_err());
    }
    assert!(TrustedKey::parse(private.as_bytes()).is_err());
    let office = Office::new();
    office.key("one");
    SigningKey::make(&office.path("one")).expect_err("there is one");
}

const FACTS: &str = "[[fact]]\nof = [\"PPS200MI/ApprovePO\"]\nread = \"PPS200MI/GetHead\"\nkey = { PUNO = \"PUNO\" }\nfields = [\"NTAM\"]\n";

#[test]
fn the_records_that_rules_look_at_are_part_of_their_set_wherever_it_goes() {
    let office = Office::new();
    let without = read(&office.path("rules")).expect("a folder");
    office.write("facts.toml", FACTS);
    let with = read(&office.path("rules")).expect("a folder");
    assert!(!with.same_rules(&without) && with.same_rules(&with.clone()));
    let opened = open_bundle(office.signed(&["security"]), &office.trust(&["security"], 1)).expect("a bundle");
    assert_eq!(opened.facts.map(|facts| facts.text), Some(FACTS.to_owned()));
    office.give_out(&["security"]);
    let active = office.start(&["security"]).expect("a set");
    let first = active.set().hash().to_owned();
    let kept = Kept::at(office.path("kept"));
    let last = kept.sets().expect("the list").pop().expect("a set");
    assert_eq!(fs::read_to_string(kept.folder(&last.id).join("facts.toml")).expect("a file"), FACTS);

    office.write("facts.toml", &FACTS.replace("NTAM", "DIVI"));
    office.version(2);
    office.give_out(&["security"]);
    assert_eq!(trouble(&active), "");
    assert_ne!(active.set().hash(), first, "with other facts it is another set");
    office.write("facts.toml", "[[fact]]\n");
    office.version(3);
    office.give_out(&["security"]);
    assert!(trouble(&active).contains("facts.toml:1:"), "{}", trouble(&active));
}
