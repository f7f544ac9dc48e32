//! Which conditions are answered without Cedar.

use super::super::plain::Guard;
use super::super::rule::conditions;
use cedar_policy::Policy;

/// Whether all of a rule's conditions are plain, and how many are.
fn guard(conditions_of: &str) -> (bool, usize) {
    let text = format!("permit (principal, action, resource) {conditions_of};");
    let policy = Policy::parse(None, text).expect("a policy of the test");
    let guard = Guard::new(&conditions(&mut policy.to_json().expect("a tree")));
    (guard.whole, guard.taken())
}

#[test]
fn what_most_rules_ask_for_is_plain() {
    for plain in [
        "when { context.company == 100 }",
        "when { 100 <= context.company }",
        "when { [100, 200].contains(context.company) }",
        "unless { [\"AAA\", \"BBB\"].contains(context.division) }",
        "when { context.minute >= 360 || context.weekday != 7 || context.local_weekday > 5 }",
        "when { context.address.isInRange(ip(\"10.0.0.0/8\")) }",
        "when { context.address.isInRange(ip(\"2001:db8::/32\")) || context.address.isInRange(ip(\"::1\")) }",
        "when { context.scopes.contains(\"a\") }",
        "when { context.scopes.containsAny([\"a\", \"b\"]) }",
        "when { context.claims has roles }",
        "when { !resource.technical }",
        "unless { resource.customer_made }",
        "when { resource.program == \"CRS610MI\" }",
        "when { context.m3_user == \"MIDEMO\" }",
        "when { resource.name like \"Get*\" }",
        "unless { context.division like \"A*\" }",
    ] {
        assert_eq!(guard(plain), (true, 1), "{plain}");
    }
    assert_eq!(guard("when { context.claims has d && context.claims.d == \"x\" }"), (true, 2));
    assert_eq!(guard(""), (true, 0));
}

#[test]
fn the_rest_is_cedars_and_so_is_everything_after_it() {
    assert_eq!(guard("when { context.company == 100 && context.fields has CUNO }"), (false, 1));
    assert_eq!(guard("when { context.fields has CUNO && context.company == 100 }"), (false, 0));
    for cedars in [
        "when { context.company + 1 == 100 }",
        "when { principal in Group::\"a\" }",
        "when { context.claims has d && context.claims.d like \"x*\" || true }",
        "when { context.address.isInRange(ip(\"10.0.0.0/33\")) }",
        "when { context.address.isInRange(ip(\"10.0.0.0/08\")) }",
        "when { context.address.isInRange(ip(\"::ffff:10.0.0.1\")) }",
        "when { context.address.isLoopback() }",
        "when { if context.company == 1 then true else false }",
        "when { context.company == 100 || context.cleared.contains(\"CUNO\") }",
    ] {
        assert_eq!(guard(cedars), (false, 0), "{cedars}");
    }
}
