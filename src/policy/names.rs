//! What is decided before any value is known: at the door by the token, then by the call's name.
//!
//! Invariant: what is refused here is refused whatever the values are.

use super::ask::{Asker, Decision, Reason};
use super::context;
use super::judge::Case;
use super::plain::Seen;
use super::set::Set;
use crate::model::{Effect, FieldName, ProgramName, TransactionName};
use std::sync::Arc;

impl Set {
    /// At the door, before anything is known but the token: whether any permit speaks of this client at all.
    pub fn may_call_anything(&self, asker: Asker<'_>) -> bool {
        let may = |at: Option<&u32>| at.is_some_and(|at| self.may_call[*at as usize]);
        self.all_may_call
            || may(self.clients.get(asker.client))
            || asker.groups.iter().any(|group| may(self.groups.get(group)))
    }

    /// Whether something of this program may be called, by a rule over its reads or writes or by one that names a
    /// transaction of it: what a list of programs may tell.
    pub fn may_enter(&self, asker: Asker<'_>, program: ProgramName) -> bool {
        // A read and a write of nobody in particular: what rules over classes say of them holds for any.
        let classes = ["Get", "Lst", "Chg"].into_iter().filter_map(|name| TransactionName::parse(name).ok());
        let named = self.typed.keys().filter(|(of, _)| *of == program).map(|(_, name)| *name);
        let may = |name| self.may_name(asker, program, name, Effect::of(program, name));
        classes.chain(named).any(may)
    }

    /// Whether a rule could permit this call, whatever its values: a refusal here needs no catalog and no M3.
    pub fn may_name(
        &self,
        asker: Asker<'_>,
        program: ProgramName,
        transaction: TransactionName,
        effect: Effect,
    ) -> bool {
        self.by_name(asker, program, transaction, effect).allowed
    }

    /// The same with the rules that it hangs on.
    pub fn decide_name(
        &self,
        asker: Asker<'_>,
        program: ProgramName,
        transaction: TransactionName,
        effect: Effect,
    ) -> Decision {
        self.by_name(asker, program, transaction, effect)
    }

    /// `may_call_anything` as a decision; no single rule makes it.
    pub fn decide_door(&self, asker: Asker<'_>) -> Decision {
        match self.may_call_anything(asker) {
            true => Decision { allowed: true, reason: Reason::Allowed, ..Decision::by_nobody() },
            false => Decision::by_nobody(),
        }
    }

    /// Whether answers may show this field whatever the call's values. `Decision::may_show` knows more: here a
    /// permit with conditions on values, or with a last day, reveals nothing.
    pub fn readable(
        &self,
        asker: Asker<'_>,
        program: ProgramName,
        transaction: TransactionName,
        field: FieldName,
    ) -> bool {
        if !self.site.sensitive.has(field) {
            return true;
        }
        let decision = self.by_name(asker, program, transaction, Effect::of(program, transaction));
        let certain = |id: &Arc<str>| {
            let rule = self.book.rules.iter().find(|rule| rule.id == *id);
            rule.is_some_and(|r| r.whole_by_name && r.expires_at.is_none() && r.reveals.contains(&field))
        };
        decision.allowed && decision.rules.iter().any(certain)
    }

    fn by_name(
        &self,
        asker: Asker<'_>,
        program: ProgramName,
        transaction: TransactionName,
        effect: Effect,
    ) -> Decision {
        let Some(narrow) = self.narrow(asker, program, transaction, effect) else {
            return Decision::refused(Reason::EvaluationError, []);
        };
        if let Some(settled) = narrow.settled.as_ref().filter(|settled| settled.reason != Reason::Unverifiable) {
            return settled.clone();
        }
        let decide = || {
            let request = || {
                let context = context::context_by_name(&narrow.by_name_reads, asker.scopes, asker.claims).ok()?;
                narrow.request(context)
            };
            let (seen, entities) = (Seen::by_name(asker, program, transaction), &narrow.entities);
            self.book.judge(&narrow.by_name, &Case { seen, request: &request, entities, now: None })
        };
        if narrow.by_name.is_cheap() {
            return decide();
        }
        let mut key = Vec::with_capacity(64);
        key.extend(narrow.number.to_le_bytes());
        key.push(0);
        context::key_by_token(&narrow.by_name_reads, asker, &mut key);
        self.remember(key, decide)
    }
}
