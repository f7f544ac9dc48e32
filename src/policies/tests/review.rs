//! What a review of a folder tells.

use super::*;

/// What a review says, a line each.
fn review(rules: &str, manifest: &str) -> String {
    let desk = Desk::new();
    desk.write("a.cedar", rules);
    if !manifest.is_empty() {
        desk.write("manifest.toml", manifest);
    }
    let name = |program: &str, name: &str| {
        (ProgramName::parse(program).expect("a program"), TransactionName::parse(name).expect("a transaction"))
    };
    let known = [name("CRS610MI", "GetBasicData"), name("CRS610MI", "ChgBasicData"), name("EXPORTMI", "Select")];
    match check(&desk.settings(), &Site::of(HERE), &known_layouts(), &known) {
        Ok(found) => found
            .findings
            .iter()
            .map(|one| format!("{:?} {} {}", one.severity, one.fault.code, one.fault))
            .collect::<Vec<_>>()
            .join("\n"),
        Err(Error::Faults(faults)) => {
            faults.iter().map(|one| format!("{} {one}", one.code)).collect::<Vec<_>>().join("\n")
        }
        Err(other) => other.to_string(),
    }
}

#[test]
fn a_review_tells_what_is_too_wide_never_fires_or_has_no_owner() {
    let rules = r#"
@id("wide") @owner("a") permit (principal == Client::"a", action, resource);
@id("writes") @owner("a") permit (principal == Client::"a", action in [Action::"read", Action::"write"], resource)
  when { context.company == 100 };
@id("narrow") @owner("a") permit (principal == Client::"a", action in Action::"write", resource in Program::"CRS610MI");
@id("two-companies") @owner("a") permit (principal == Client::"a", action in Action::"read", resource)
  when { context.company == 100 && context.company == 200 };
@id("no-hour") @owner("a") permit (principal == Client::"a", action in Action::"read", resource)
  when { context.minute >= 1200 } when { 300 > context.minute };
@id("old") @owner("a") @expires("2020-01-01") permit (principal == Client::"a", action in Action::"read", resource);
permit (principal == Client::"a", action in Action::"read", resource);
@id("no-export") forbid (principal, action, resource in Program::"EXPORTMI");
@id("export") @owner("a") permit (principal == Client::"a", action == Action::"EXPORTMI/Select", resource == Transaction::"EXPORTMI/Select");
@id("misspelt") @owner("a") permit (principal == Client::"a", action in Action::"read", resource in Program::"CRS6I0MI");
@id("none") @owner("a") permit (principal == Client::"a", action in Action::"read", resource == Transaction::"CRS610MI/GetBasicDate");
"#;
    insta::assert_snapshot!(review(rules, ""));
}

#[test]
fn a_manifest_may_ask_for_hours_and_networks() {
    let rules = r#"
@id("any") @owner("a") permit (principal == Client::"a", action in Action::"write", resource in Program::"CRS610MI");
@id("good") @owner("a") permit (principal == Client::"a", action in Action::"write", resource in Program::"CRS610MI")
  when { context.minute >= 360 && context.address.isInRange(ip("10.0.0.0/8")) };
"#;
    let manifest = "name = \"acme\"\nversion = 1\nrequire = [\"hours\", \"network\"]\n";
    insta::assert_snapshot!(review(rules, manifest));
}

#[test]
fn faults_have_stable_codes() {
    let of = |rules: &str| review(rules, "").split(' ').next().unwrap_or_default().to_owned();
    assert_eq!(of("permit ("), "syntax");
    assert_eq!(
        of("@id(\"a\") permit (principal, action, resource); @id(\"a\") forbid (principal, action, resource);"),
        "duplicate-id"
    );
    assert_eq!(
        of("permit (principal, action in Action::\"read\", resource) when { context.company == \"x\" };"),
        "type"
    );
    assert_eq!(
        of(
            "forbid (principal, action == Action::\"CRS610MI/GetBasicData\", resource) when { context.fields has XXXX };"
        ),
        "unknown-field"
    );
}
