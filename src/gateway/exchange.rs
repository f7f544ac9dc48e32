//! One call from words to M3 and back. The order is the promise, and nothing may be moved up past its check:
//!
//! effect from the name → blocks → name-level policy → user → catalog → typed inputs → place → the record that rules look at → value-level policy →
//! limits → its line in the audit log → M3. What the catalog can refuse is refused before M3 is asked where its user is at home. A write runs on a tracked task of its own from the moment M3 may see it.
//! Does not know: HTTP, or how an answer is written.

use super::blocked::{self, Blocking};
use super::cursor::{Bound, NoCursor, Seal};
use super::facts::Facts;
use super::flow::{self, Flow};
use super::intent::{self, Begun};
use super::listing::{Listing, Pen};
use super::problem::{Kind, Problem};
use super::refused::{self, Refused};
use super::sites::Sites;
use super::verdict::{Judged, Weighed};
use super::visit::Visit;
use crate::audit::{self, Step, Ticket};
use crate::catalog::Catalog;
use crate::clock::unix_seconds;
use crate::limit::{Held, Limits};
use crate::m3;
use crate::model::{Call, Company, Division, Effect, FieldName, Input, M3User, Place, Principal, TransactionLayout};
use crate::outbox::Outbox;
use crate::policies::Active;
use crate::policy::Asker;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::translate::{self, Asked, Continuation, Shape, Table};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;

#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long M3 may take for its first frame, and then from frame to frame.
    pub read_patience: Duration,
    /// How long the caller of a write waits before he is told that its outcome is unknown.
    pub write_wait: Duration,
    /// How long the write itself may take after that.
    pub write_patience: Duration,
    /// Without `maxrecs`.
    pub default_records: u32,
    /// More records than this M3 never gives, whatever it is asked for; a grid in front of M3 often has such a bound.
    pub list_ceiling: Option<u64>,
    /// How long a list can be taken up again where it was left.
    pub cursor_lifetime: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            read_patience: Duration::from_secs(60),
            write_wait: Duration::from_secs(60),
            write_patience: Duration::from_secs(300),
            default_records: 100,
            list_ceiling: None,
            cursor_lifetime: Duration::from_secs(3_600),
        }
    }
}

#[derive(Clone)]
pub(super) struct Exchange {
    pub(super) catalog: Catalog,
    pub(super) policies: Arc<Active>,
    pub(super) limits: Arc<Limits>,
    pub(super) m3: m3::Client,
    pub(super) tasks: Tasks,
    pub(super) metrics: Arc<Metrics>,
    pub(super) settings: Settings,
    pub(super) group_users: Arc<BTreeMap<String, M3User>>,
    pub(super) seal: Seal,
    pub(super) audit: audit::Log,
    pub(super) outbox: Outbox,
    pub(super) blocking: Blocking,
    pub(super) sites: Sites,
    pub(super) facts: Facts,
}

/// A call that M3 has begun to answer.
pub(super) struct Answer {
    pub(super) table: Table,
    /// Those that an extended answer repeats.
    pub(super) inputs: Vec<Input>,
    pub(super) listing: Listing,
    /// `Snd…`: M3 took it, and never says whether it worked.
    pub(super) reported: bool,
}

impl Exchange {
    pub(super) async fn run(
        &self,
        asked: &Asked,
        shape: Shape,
        who: &Principal,
        visit: &Visit,
    ) -> Result<Answer, Refused> {
        let effect = Effect::of(asked.program, asked.transaction);
        {
            let mut learnt = visit.learnt();
            learnt.program = Some(asked.program);
            learnt.transaction = Some(asked.transaction);
            learnt.effect = Some(effect);
        }
        intent::called_by_rid(&self.outbox, asked, who, visit, effect);
        // What is blocked by hand is refused before any rule is asked.
        match blocked::by_name(self, (asked.program, asked.transaction), who, visit) {
            Some(problem) => return Err(problem.into()),
            None => self.name_policy(asked, who, visit, effect)?,
        }
        let user = self.user(asked, who).map_err(|problem| {
            let reason = problem.kind.slug();
            self.refused_by_name(problem, reason, asked, who, visit, effect)
        })?;
        visit.learnt().user = Some(user.clone());
        let (mut decided, mut held) = (None, None);
        // A layout that the session does not confirm is fetched again once; nothing had been sent.
        for again in [false, true] {
            let layout = self.catalog.layout(asked.program, asked.transaction).await.map_err(refused::by_catalog)?;
            let typed = asked.typed(&layout)?;
            let place = match decided {
                Some(place) => place,
                None => self.place(asked, who, &user).await?,
            };
            decided = Some(place);
            visit.learnt().place = Some(place);
            let mut inputs = translate::placed(typed, &layout, place);
            // Before the decision: what is decided on is where the list really goes on.
            let (left_at, pen) = self.goes_on(asked, who, place, &layout, &mut inputs)?;
            let mut weighed = Weighed::new(asked, (who, visit, &user), effect, place, (&layout, &inputs));
            let decided = self.value_policy(&mut weighed).await?;
            // Before M3 is asked: a column that doesn't exist is no reason to fail after a write was done.
            let columns = |field| decided.decision.may_show(field, &self.outbox.settings().sensitive);
            let table = Table::new(&asked.options, layout.clone(), shape.trims_by_default(), columns)?;
            // A cursor holds values of the last record: not those that the caller may not see.
            let pen = pen.filter(|pen| pen.bound.continuation().outputs().all(|at| columns(field_of(&layout, at))));
            if left_at.is_some() && pen.is_none() {
                return Err(
                    Problem::new(Kind::CursorNotPossible, "The list's place may not be seen by this client.").into()
                );
            }
            let most = asked.options.max_records.unwrap_or(self.settings.default_records);
            let more = if most == 0 { 0 } else { 1 + u32::from(left_at.is_some()) };
            let held = match &held {
                Some(held) => Held::clone(held),
                None => held.insert(self.charge(asked, who, visit).await?).clone(),
            };
            // Written down as allowed once nothing but M3 and its line can refuse it: limits write down what they refuse.
            let ticket = self.allowed(&weighed, &decided);
            // What a caller may not see in an answer is not repeated to him either.
            let repeated =
                |input: &&Input| asked.options.extended && columns(layout.input.fields()[usize::from(input.at)].name);
            let shown: Vec<Input> = inputs.iter().filter(repeated).cloned().collect();
            let call = Call {
                client: who.client.clone(),
                user: user.clone(),
                place,
                layout: layout.clone(),
                effect,
                inputs,
                max_records: most.saturating_add(more),
                language: asked.options.language.as_ref().or(who.standing.language.as_ref()).cloned(),
                patience: if effect.is_write() { self.settings.write_patience } else { self.settings.read_patience },
            };
            let sieve = self.sieve(&call, who, visit, &decided, ticket.id);
            let limit = (layout.multi && most > 0).then_some(u64::from(call.max_records));
            match self.send(call, visit, ticket, held.clone()).await {
                Ok((flow, reported)) => {
                    let most = (layout.multi && most > 0).then_some(u64::from(most));
                    let ceiling = self.settings.list_ceiling.filter(|_| layout.multi);
                    let listing = Listing::new(flow, most, left_at, pen).under(ceiling).holding(held);
                    let listing = listing.through(sieve, limit);
                    return Ok(Answer { table, inputs: shown, listing, reported });
                }
                Err(Sent::LayoutChanged) => self.catalog.disagreed(asked.program, asked.transaction, again).await,
                Err(Sent::Refused(refused)) => return Err(refused),
            }
        }
        Err(refused::layout_unstable().into())
    }

    fn name_policy(&self, asked: &Asked, who: &Principal, visit: &Visit, effect: Effect) -> Result<(), Problem> {
        let decisions = &self.metrics.policy_decisions;
        if effect == Effect::Session {
            decisions.with_label_values(&["name", "denied"]).inc();
            let detail = format!("{} changes the session it runs on; callers may not use it.", asked.transaction);
            let problem = Problem::new(Kind::PolicyDenied, detail);
            return Err(self.refused_by_name(problem, "session-word", asked, who, visit, effect));
        }
        let named = self.policies.set().decide_name(Asker::from(who), asked.program, asked.transaction, effect);
        decisions.with_label_values(&["name", named.verdict()]).inc();
        if named.allowed {
            return Ok(());
        }
        let detail = format!("No rule permits this client to {effect} {}/{}.", asked.program, asked.transaction);
        let problem = Problem::new(Kind::PolicyDenied, detail);
        let problem = self.refused_by_name(problem, named.reason.word(), asked, who, visit, effect);
        let decision = visit.learnt().decision;
        if let (Some(shadow), Some(id)) = (self.policies.shadow(), decision) {
            shadow.name(who, (asked.program, asked.transaction), effect, id);
        }
        Err(problem)
    }

    /// Writes down what was refused before any value was known.
    fn refused_by_name(
        &self,
        problem: Problem,
        reason: &str,
        asked: &Asked,
        who: &Principal,
        visit: &Visit,
        effect: Effect,
    ) -> Problem {
        let set = self.policies.set();
        let judged = Judged {
            who,
            visit,
            set: set.hash(),
            name: (asked.program, asked.transaction),
            effect,
            user: None,
            place: None,
            inputs: None,
            reading: None,
            step: Step::Names,
            allowed: false,
            reason,
            rules: &[],
        };
        problem.decided(judged.record(&self.audit).id)
    }

    /// The client's own user, else its group's. There is no default one, and running as another is for those who may.
    fn user(&self, asked: &Asked, who: &Principal) -> Result<M3User, Problem> {
        let of_group = || who.groups.iter().find_map(|group| self.group_users.get(&**group));
        let Some(own) = who.standing.user.as_ref().or_else(of_group) else {
            return Err(Problem::new(Kind::UserMissing, "No M3 user is mapped to this client or to its groups."));
        };
        match &asked.options.run_as {
            Some(other) if other == own || who.standing.run_as.contains(other) => Ok(other.clone()),
            Some(other) => Err(Problem::new(Kind::RunAsRefused, format!("This client may not run as {other}."))),
            None => Ok(own.clone()),
        }
    }

    /// Field, option, client default, the M3 user's own: decided once, and then the same for policy, log and M3.
    async fn place(&self, asked: &Asked, who: &Principal, user: &M3User) -> Result<Place, Refused> {
        let wanted = asked.wanted()?;
        if let (Some(company), Some(division)) = (wanted.company.or(who.standing.company), wanted.division) {
            return Ok(Place { company, division });
        }
        let default = match (who.standing.company, who.standing.division) {
            (Some(company), Some(division)) => Place { company, division },
            (company, division) => {
                let home = Box::pin(self.m3.home(user)).await.map_err(|error| refused::by_m3(error, false, ""))?.place;
                let company = company.unwrap_or(home.company);
                let inherited = if company == home.company { home.division } else { Division::BLANK };
                Place { company, division: division.unwrap_or(inherited) }
            }
        };
        let company: Company = wanted.company.unwrap_or(default.company);
        let inherited = if company == default.company { default.division } else { Division::BLANK };
        Ok(Place { company, division: wanted.division.unwrap_or(inherited) })
    }

    /// A list that was left somewhere begins there again; one that can be left gets the pen that writes where.
    fn goes_on(
        &self,
        asked: &Asked,
        who: &Principal,
        place: Place,
        layout: &Arc<TransactionLayout>,
        inputs: &mut Vec<Input>,
    ) -> Result<(Option<Vec<String>>, Option<Pen>), Problem> {
        let not_possible =
            || Problem::new(Kind::CursorNotPossible, format!("{} has no place to go on from.", layout.name));
        let Some(continuation) = Continuation::of(layout).filter(|_| layout.multi) else {
            return if asked.cursor.is_some() { Err(not_possible()) } else { Ok((None, None)) };
        };
        let bound = Bound::new(&who.client, place, layout, inputs, continuation);
        let left_at = match &asked.cursor {
            None => None,
            Some(cursor) => {
                let left_at = self.seal.read(&bound, cursor, unix_seconds()).map_err(|why| {
                    let detail = match why {
                        NoCursor::Foreign => "The cursor was not made for this call of this client.",
                        NoCursor::Expired => "The cursor is too old.",
                    };
                    Problem::new(Kind::CursorInvalid, detail)
                })?;
                *inputs = bound.continuation().begin_at(layout, inputs, &left_at).ok_or_else(not_possible)?;
                Some(left_at)
            }
        };
        let pen = Pen { seal: self.seal.clone(), bound, lifetime: self.settings.cursor_lifetime };
        Ok((left_at, Some(pen)))
    }

    async fn send(&self, call: Call, visit: &Visit, mut ticket: Ticket, held: Held) -> Result<(Flow, bool), Sent> {
        let intent = visit.intent();
        // What must stand in the log and in the outbox stands there before M3 sees anything.
        let begun = intent::written(&self.outbox, &call, visit, &mut ticket).await.map_err(Sent::Refused)?;
        if !call.effect.is_write() {
            return match self.m3.call(&call).instrument(flow::span(&call, &intent)).await {
                Ok(reply) => {
                    let reported = reply.outcome_reported();
                    Ok((Flow::direct(reply), reported))
                }
                Err(m3::Error::LayoutChanged { .. }) => Err(Sent::LayoutChanged),
                Err(error) => Err(Sent::Refused(refused::by_m3(error, false, &intent))),
            };
        }
        let pledge = match begun {
            Begun::Write(pledge) => pledge,
            Begun::Answered { records, reported } => return Ok((Flow::kept(records), reported)),
        };
        visit.begins_write();
        let wait = self.settings.write_wait;
        let book = (ticket, pledge, held);
        match flow::write(self.m3.clone(), call, &self.tasks, wait, intent.clone(), book).await {
            Ok(Ok(flow)) => Ok(flow),
            Ok(Err(m3::Error::LayoutChanged { .. })) => Err(Sent::LayoutChanged),
            Ok(Err(error)) => Err(Sent::Refused(refused::by_m3(error, true, &intent))),
            Err(flow::Unknown) => {
                Err(Sent::Refused(refused::outcome_unknown("M3 has not answered yet.", &intent).into()))
            }
        }
    }
}

enum Sent {
    LayoutChanged,
    Refused(Refused),
}

fn field_of(layout: &TransactionLayout, output: u16) -> FieldName {
    layout.output.fields()[usize::from(output)].name
}
