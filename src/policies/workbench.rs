//! Questions to a set that is not in force: what would be decided on this call, by whom, and why.
//!
//! A question goes the way of a call: read, typed by its layout, placed, decided on what would be sent.

use crate::model::{
    Claim, ClientId, Company, Division, Effect, FieldName, Input, M3User, Place, ProgramName, Standing,
    TransactionLayout, TransactionName,
};
use crate::policy::{Ask, Asker, Decision, Fact, FactValues, Near, NoValue, Outside, Set, Unheld, outside};
use crate::translate::{self, Asked, Fault, RequestFault};
use std::net::IpAddr;
use std::sync::Arc;

/// Somebody who may call.
#[derive(Debug, Clone)]
pub struct Caller {
    /// As people know him.
    pub name: String,
    pub client: ClientId,
    pub groups: Vec<Box<str>>,
    pub scopes: Vec<Box<str>>,
    /// Another issuer gives his tokens scopes, and nobody here knows all that it may give.
    pub more_scopes: bool,
    pub claims: Vec<Claim>,
    pub user: Option<M3User>,
    pub company: Option<Company>,
    pub division: Option<Division>,
}

impl Caller {
    pub fn asker(&self) -> Asker<'_> {
        Asker { client: &self.client, groups: &self.groups, scopes: &self.scopes, claims: &self.claims }
    }
}

#[derive(Debug, Clone)]
pub struct Question {
    pub caller: Caller,
    pub asked: Asked,
    /// What M3 would tell of the record that the rules look at; `None`: it can't be read.
    pub record: Option<Vec<(FieldName, String)>>,
    pub address: IpAddr,
    pub unix_seconds: u64,
}

/// What would be decided; for a refusal that no rule made, the permits that came nearest.
#[derive(Debug, Clone)]
pub struct Answer {
    pub decision: Decision,
    pub place: Place,
    pub near: Vec<Near>,
    /// The read that is made before the decision.
    pub reads: Option<Arc<Fact>>,
    /// Why the division that it says is not believed, where a rule would have to.
    pub unheld: Unheld,
}

/// Why there is no decision.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Wrong {
    #[error("the call can't be read: {0}")]
    Call(#[from] RequestFault),
    #[error("the call would be refused before any rule is asked: {0}")]
    Fault(Fault),
    #[error("the layout of {program}/{transaction} is not known here; fetch it: mi-gateway catalog pull {program}")]
    Unknown { program: ProgramName, transaction: TransactionName },
    #[error("no company is known for the call; name it as `cono`, or give the client one")]
    NoCompany,
    #[error("no record is read for {program}/{transaction}: facts.toml declares none")]
    NoFact { program: ProgramName, transaction: TransactionName },
    #[error("the record: {0}")]
    Record(#[from] NoValue),
}

const NEAREST: usize = 3;

/// `CRS610MI/ChgBasicData;cono=100?CUNO=C00001`, as it stands behind `execute/`.
pub fn read_call(call: &str) -> Result<Asked, Wrong> {
    let (tail, query) = call.split_once('?').map_or((call, None), |(tail, query)| (tail, Some(query)));
    Ok(translate::read(tail, query)?)
}

/// The call of a question: typed, and placed.
struct Typed {
    layout: Arc<TransactionLayout>,
    place: Place,
    inputs: Vec<Input>,
}

impl Typed {
    fn of(
        Question { caller, asked, .. }: &Question,
        layouts: impl Fn(ProgramName, TransactionName) -> Option<Arc<TransactionLayout>>,
    ) -> Result<Self, Wrong> {
        let (program, transaction) = (asked.program, asked.transaction);
        let layout = layouts(program, transaction).ok_or(Wrong::Unknown { program, transaction })?;
        let wanted = asked.wanted().map_err(Wrong::Fault)?;
        let company = wanted.company.or(caller.company).ok_or(Wrong::NoCompany)?;
        let inherited = caller.division.filter(|_| caller.company == Some(company)).unwrap_or(Division::BLANK);
        let place = Place { company, division: wanted.division.unwrap_or(inherited) };
        let inputs = translate::placed(asked.typed(&layout).map_err(Wrong::Fault)?, &layout, place);
        Ok(Self { layout, place, inputs })
    }

    fn ask<'a>(&'a self, question: &'a Question, record: Option<&'a FactValues>, nobody: &'a M3User) -> Ask<'a> {
        let Question { caller, asked, address, unix_seconds, .. } = question;
        Ask {
            asker: caller.asker(),
            program: asked.program,
            transaction: asked.transaction,
            effect: Effect::of(asked.program, asked.transaction),
            place: self.place,
            m3_user: caller.user.as_ref().unwrap_or(nobody),
            layout: &self.layout,
            inputs: &self.inputs,
            record,
            address: *address,
            unix_seconds: *unix_seconds,
        }
    }
}

fn nobody() -> M3User {
    M3User::parse("UNKNOWN").expect("a name of this file")
}

pub fn ask(
    set: &Set,
    question: &Question,
    layouts: impl Fn(ProgramName, TransactionName) -> Option<Arc<TransactionLayout>>,
) -> Result<Answer, Wrong> {
    let (program, transaction) = (question.asked.program, question.asked.transaction);
    let typed = Typed::of(question, layouts)?;
    let record = match &question.record {
        None => None,
        Some(told) => {
            let fact = set.fact(program, transaction).ok_or(Wrong::NoFact { program, transaction })?;
            Some(fact.values(told.iter().map(|(field, text)| (*field, text.as_str())))?)
        }
    };
    let nobody = nobody();
    let ask = typed.ask(question, record.as_ref(), &nobody);
    let decision = set.decide(&ask);
    let by_default = !decision.allowed && decision.rules.is_empty();
    let near = if by_default { set.nearest(&ask, NEAREST) } else { Vec::new() };
    let unheld = Unheld::of(ask.layout, ask.effect, ask.inputs);
    Ok(Answer { decision, place: ask.place, near, reads: set.wants_record(&ask), unheld })
}

/// Where the call of a question leaves the bounds of its client, whatever the rules permit.
pub fn beyond(
    standing: &Standing,
    question: &Question,
    layouts: impl Fn(ProgramName, TransactionName) -> Option<Arc<TransactionLayout>>,
) -> Result<Option<Outside>, Wrong> {
    Ok(outside(standing, &Typed::of(question, layouts)?.ask(question, None, &nobody())))
}

/// What a caller may do with a transaction in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum May {
    Never,
    /// It depends on values, a record of M3, scopes, the moment or the address.
    Sometimes,
    Always,
}

/// By asking: a plain call is decided, and the decision looked at for what else it could depend on.
pub fn may(set: &Set, caller: &Caller, layout: &TransactionLayout, place: Place, now: u64) -> May {
    let (program, transaction) = (layout.program, layout.name);
    let effect = Effect::of(program, transaction);
    let asker = caller.asker();
    // What a token will say is not known here: a rule that asks for it may permit.
    let looks = set.looks(asker, program, transaction, effect);
    let by_token = !looks.claims.is_empty() || caller.more_scopes && looks.scopes;
    if !by_token && !set.may_name(asker, program, transaction, effect) {
        return May::Never;
    }
    let nobody = nobody();
    let inputs = translate::placed(Vec::new(), layout, place);
    let ask = Ask {
        asker,
        program,
        transaction,
        effect,
        place,
        m3_user: caller.user.as_ref().unwrap_or(&nobody),
        layout,
        inputs: &inputs,
        record: None,
        address: IpAddr::from([127, 0, 0, 1]),
        unix_seconds: now,
    };
    let decision = set.decide(&ask);
    match (set.holds_whatever_is_sent(&ask, &decision), decision.allowed) {
        (true, true) => May::Always,
        (true, false) => May::Never,
        (false, _) => May::Sometimes,
    }
}
