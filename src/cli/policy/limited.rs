//! `policy explain --decision` of a call that a limit refused: which table of the file, and what was used of it.

use super::super::show;
use super::Bench;
use crate::limit::Plan;
use serde_json::{Value, json};

/// The lines that one refusal's id stands in.
#[derive(Default)]
pub(super) struct Limited {
    first: Option<Value>,
    times: u64,
}

pub(super) fn is_limited(line: &Value) -> bool {
    line["kind"] == "decision" && line["step"] == "limits"
}

/// Refusals that a line stands for.
pub(super) fn times(line: &Value) -> u64 {
    line["times"].as_u64().unwrap_or(1)
}

impl Limited {
    pub(super) fn see(&mut self, line: &Value) {
        self.times += times(line);
        self.first.get_or_insert_with(|| line.clone());
    }

    /// `false`: there is nothing to tell.
    pub(super) fn tell(&self, bench: &Bench, dir: Option<&std::path::Path>, id: &str, as_json: bool) -> bool {
        let Some(line) = &self.first else { return false };
        let text = |name: &str| line[name].as_str().unwrap_or_default();
        let table = &line["table"];
        let (place, limit) = (table["place"].as_str().unwrap_or_default(), text("limit"));
        let now = now(bench, dir, limit, place, table["most"].as_u64().unwrap_or_default());
        if as_json {
            let shown = json!({ "decision": id, "allowed": false, "reason": text("reason"), "limit": limit,
                "place": table["place"], "most": table["most"], "used": table["used"], "cost": table["cost"],
                "client": text("client"), "program": line["program"], "transaction": line["transaction"],
                "times": self.times, "now": now });
            show::line(&shown.to_string());
            return true;
        }
        let call = match (line["program"].as_str(), line["transaction"].as_str()) {
            (Some(program), Some(name)) => format!("{program}/{name}"),
            _ => "anything".to_owned(),
        };
        show::line(&format!("REFUSED: {} asked for {call} ({})", text("client"), text("reason")));
        show::line(format!("    limit {limit}  {place}  {}", now.as_deref().unwrap_or_default()).trim_end());
        show::line(&format!(
            "    {} of {} were used, and the call costs {}",
            table["used"], table["most"], table["cost"]
        ));
        if self.times > 1 {
            show::line(&format!("    {} calls were refused under this id", self.times));
        }
        if now.is_none() {
            show::note("The limits have changed since: no such table stands there now.");
        }
        true
    }
}

/// What the table allows, where it is still the same one.
fn now(bench: &Bench, dir: Option<&std::path::Path>, limit: &str, place: &str, most: u64) -> Option<String> {
    let (file, line) = place.rsplit_once(':')?;
    let (_, files) = bench.set(dir).ok()?;
    let source = Some(files.limits).filter(|source| source.name == file)?;
    let plan = Plan::parse(&source.name, &source.text, &bench.site.issuer).ok()?;
    let (allows, is) = plan.at(limit, line.parse().ok()?)?;
    (u64::from(is) == most).then_some(allows)
}
