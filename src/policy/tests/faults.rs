//! What is refused when a set is loaded, and where it is said to stand.

use super::*;

#[test]
fn faults_say_where_and_how_to_mend() {
    let found = faults("// a comment\npermit (principal, action, resource) when { contxt.company == 1 };");
    assert!(found[0].starts_with("t.cedar:2:"), "{found:?}");
    refused("permit (principal, action == Action::\"read\", resource);", "action in Action::\"read\"");
    refused("forbid (principal, action in Action::\"delete\", resource);", "nothing can be called");
    refused("forbid (principal, action, resource in Program::\"crs610mi\");", "nothing can be called");
    refused("permit (principal == User::\"x\", action, resource);", "nothing can be called");
    refused(&format!("permit (principal == Client::\"demo@{LOCAL}\", action, resource);"), "nothing can be called");
    refused(
        "permit (principal, action in Action::\"raw\", resource in Program::\"EXPORTMI\");",
        "must name its transaction",
    );
    refused(
        "@id(\"a\") permit (principal, action, resource);\n@id(\"a\") permit (principal, action, resource);",
        "t.cedar:2:1",
    );
    refused("permit (principal, action, resource) when { context.fields.CUNO == \"\" };", "of which transaction");
    refused(
        "permit (principal, action == Action::\"CRS610MI/ChgFinancial\", resource) when { context.fields has NOPE };",
        "has no input field NOPE",
    );
    refused(
        "permit (principal, action == Action::\"CRS610MI/ChgFinancial\", resource) when { context.fields.CUNO == \"\" };",
        "unable to guarantee safety",
    );
    refused("permit (principal, action, resource) when { context == {} };", "as a whole");
    refused("permit (principal, action, resource) when { context.company == \"100\" };", "t.cedar:1:");
    refused("@lifts(\"x\") permit (principal, action, resource);", "@id, @owner and @expires");
    refused("@expires(\"soon\") permit (principal, action, resource);", "no date");
    refused("@expires(\"2026-01-01\") forbid (principal, action, resource);", "doesn't expire");
    refused("permit (principal == ?principal, action, resource);", "template");
}

#[test]
fn a_set_has_no_more_text_than_a_gateway_can_hold() {
    let long = format!("forbid (principal, action, resource);\n//{}", "x".repeat(8 * 1024 * 1024));
    refused(&long, "larger than 8388608 bytes");
}

#[test]
fn the_deepest_rule_that_is_accepted_fits_a_thread_and_deeper_ones_are_faults() {
    let shapes: [(&str, &str, &str); 5] = [
        ("", "context.company == 1 || ", "true"),
        ("(", "", ")"),
        ("!(", "", ")"),
        ("if true then ", "", " else false"),
        ("true && (false || ", "", ")"),
    ];
    for (open, link, close) in shapes {
        let mut accepted = 0;
        for n in (1..200).step_by(3) {
            let middle = if link.is_empty() { "true".to_owned() } else { link.repeat(n) };
            let (open, close) =
                if link.is_empty() { (open.repeat(n), close.repeat(n)) } else { (String::new(), close.into()) };
            // Taken apart behind what is plain, and for what is known by name alone.
            let text = format!(
                "permit (principal, action, resource) when {{ context.minute > 1 }} when {{ {open}{middle}{close} }};"
            );
            // The stack of tokio's threads, which reload the files.
            let load = move || Set::load(&[source(&text)], &site(), &layout).map_err(|faults| faults[0].to_string());
            let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(load).expect("a thread");
            match thread.join().expect("no overflow") {
                Ok(_) => accepted = n,
                Err(fault) => assert!(fault.contains("nests too deep"), "{fault}"),
            }
        }
        assert!((7..=120).contains(&accepted), "{open}{link}: {accepted}");
    }
}

#[test]
fn a_forbid_that_can_not_be_taken_apart_for_calls_that_carry_no_division_is_a_fault() {
    let rule = |deep: usize| {
        let (open, close) = ("if true then ".repeat(deep), " else false".repeat(deep));
        format!(
            "forbid (principal, action, resource) when {{ context.division == \"AAA\" }} when {{ {open}true{close} }};"
        )
    };
    assert!(Set::load(&[source(&rule(5))], &site(), &layout).is_ok());
    refused(&rule(15), "nests too deep to be taken apart");
}

#[test]
fn a_division_that_a_transaction_does_not_carry_is_no_condition_of_it() {
    let rule = |call: &str| {
        format!("permit (principal, action == Action::\"{call}\", resource) when {{ context.division == \"AAA\" }};")
    };
    refused(&rule("OIS100MI/Confirm"), "carries no division");
    let set = |call: &str| Set::load(&[source(&rule(call))], &site(), &layout);
    for call in ["MNS150MI/CpyUsrPerCmpDiv", "MNS150MI/SelUsers"] {
        assert!(set(call).is_ok(), "{call} names the divisions that it works in");
    }
}
