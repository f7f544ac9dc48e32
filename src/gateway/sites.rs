//! Which division a facility or a warehouse is of, as M3 tells it, and kept for an hour.
//!
//! Asked as the guard user where there is one, else as the caller's own M3 user: then what he may not see of M3's sites,
//! his records can't be told apart by. None of these reads costs its client anything of its limits, so they have room of
//! their own, and of the names that its calls make up few are asked for. What stands in M3's own answers nobody made up.
//! Invariant: what could not be learnt is never kept, and never guessed.
//! Does not know: what a division is asked for.

use super::reader::{Read, Reader, Whose};
use super::room::{Room, Unknown};
use crate::model::{Company, Division, FieldName, M3User, ProgramName, Record, TransactionLayout, TransactionName};
use moka::sync::Cache;
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Facility,
    Warehouse,
}

/// A site of a company, by its code.
pub(super) type Site = (Kind, Box<str>);

/// M3 said nothing of it: not that there is no such site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unanswered;

/// Why there is no division of a site that a caller named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unplaced {
    Unanswered,
    /// He named too many of late that M3 doesn't know, and has to wait so long.
    MadeUp(Duration),
}

#[derive(Clone)]
pub(super) struct Sites {
    reader: Reader,
    guard: Option<M3User>,
    known: Cache<(Company, Site), Division>,
    /// M3 told this user of none, though a call named it.
    absent: Cache<(Company, Site, M3User), ()>,
    room: Room,
    unknown: Unknown,
}

/// Read by the field behind them. A warehouse may tell its facility alone.
const FACILITY: (&str, &str, &str) = ("CRS008MI", "Get", "FACI");
const WAREHOUSE: (&str, &str, &str) = ("MMS005MI", "GetWarehouse", "WHLO");
/// What M3 is asked of sites, and by which field: whoever it is asked as needs authority for both.
pub const READS: [(&str, &str, &str); 2] = [FACILITY, WAREHOUSE];

/// More sites than any company has; the oldest make place for others.
const MOST: u64 = 10_000;
/// A site changes its division about never.
const KEPT: Duration = Duration::from_secs(3_600);
/// One that is made now is there soon.
const ABSENT: Duration = Duration::from_secs(15);
/// A list waits behind it.
const PATIENCE: Duration = Duration::from_secs(2);

impl Sites {
    pub(super) fn new(reader: Reader, guard: Option<M3User>) -> Self {
        Self {
            reader,
            guard,
            known: Cache::builder().max_capacity(MOST).time_to_live(KEPT).build(),
            absent: Cache::builder().max_capacity(MOST).time_to_live(ABSENT).build(),
            room: Room::new(),
            unknown: Unknown::new(),
        }
    }

    /// What was learnt before.
    pub(super) fn known(&self, company: Company, site: &Site) -> Option<Division> {
        self.known.get(&(company, site.clone()))
    }

    /// `None`: M3 knows no such site, or none that this user may see.
    pub(super) async fn division(&self, whose: &Whose, site: &Site) -> Result<Option<Division>, Unanswered> {
        self.look_up(whose, site, false).await.map_err(|_| Unanswered)
    }

    /// The same of a site that a caller names, who may have made it up.
    pub(super) async fn named(&self, whose: &Whose, site: &Site) -> Result<Option<Division>, Unplaced> {
        self.look_up(whose, site, true).await
    }

    async fn look_up(&self, whose: &Whose, site: &Site, named: bool) -> Result<Option<Division>, Unplaced> {
        if let Some(learnt) = self.learnt(whose, site, named) {
            return learnt;
        }
        let learn = async {
            let _room = self.room.enter(&whose.client).await;
            // Who waited there may find what those before him asked for, or that they asked for too many.
            match self.learnt(whose, site, named) {
                Some(learnt) => learnt,
                None => self.learn(whose, site, named).await.map_err(|Unanswered| Unplaced::Unanswered),
            }
        };
        tokio::time::timeout(PATIENCE, learn).await.unwrap_or(Err(Unplaced::Unanswered))
    }

    /// What there is to say without M3.
    fn learnt(&self, whose: &Whose, site: &Site, named: bool) -> Option<Result<Option<Division>, Unplaced>> {
        if let Some(known) = self.known(whose.place.company, site) {
            return Some(Ok(Some(known)));
        }
        if named && self.absent.contains_key(&self.absence(whose, site)) {
            return Some(Ok(None));
        }
        let wait = self.unknown.wait(&whose.client, Instant::now()).filter(|_| named)?;
        Some(Err(Unplaced::MadeUp(wait)))
    }

    async fn learn(&self, whose: &Whose, site: &Site, named: bool) -> Result<Option<Division>, Unanswered> {
        let found = self.read(whose, site).await?;
        if let Some(division) = found {
            self.known.insert((whose.place.company, site.clone()), division);
        } else if named && self.absent.entry(self.absence(whose, site)).or_insert(()).is_fresh() {
            self.unknown.named(&whose.client, Instant::now());
        }
        Ok(found)
    }

    fn absence(&self, whose: &Whose, site: &Site) -> (Company, Site, M3User) {
        (whose.place.company, site.clone(), self.guard.as_ref().unwrap_or(&whose.user).clone())
    }

    async fn read(&self, whose: &Whose, (kind, code): &Site) -> Result<Option<Division>, Unanswered> {
        let facility = match kind {
            Kind::Facility => code.to_string(),
            Kind::Warehouse => {
                let Some((layout, record)) = self.ask(whose, WAREHOUSE, code).await? else { return Ok(None) };
                let division = told(&layout, &record, "DIVI").and_then(|text| Division::parse(&text).ok());
                if division.is_some() {
                    return Ok(division);
                }
                match told(&layout, &record, "FACI") {
                    Some(facility) => facility,
                    None => return Ok(None),
                }
            }
        };
        let found = self.ask(whose, FACILITY, &facility).await?;
        Ok(found
            .and_then(|(layout, record)| told(&layout, &record, "DIVI"))
            .and_then(|text| Division::parse(&text).ok()))
    }

    async fn ask(
        &self,
        whose: &Whose,
        (program, transaction, field): (&str, &str, &str),
        code: &str,
    ) -> Result<Option<Read>, Unanswered> {
        let program = ProgramName::parse(program).map_err(|_| Unanswered)?;
        let transaction = TransactionName::parse(transaction).map_err(|_| Unanswered)?;
        let field = FieldName::parse(field).map_err(|_| Unanswered)?;
        let user = self.guard.as_ref().unwrap_or(&whose.user).clone();
        let whose = Whose { user, ..whose.clone() };
        self.reader.record((program, transaction), &whose, &[(field, code)]).await.map_err(|_| Unanswered)
    }
}

/// `None` where the answer lacks the field or leaves it blank.
fn told(layout: &TransactionLayout, record: &Record, field: &str) -> Option<String> {
    let field = layout.output.field(FieldName::parse(field).ok()?)?;
    let text = record.value(field).trim().to_owned();
    (!text.is_empty()).then_some(text)
}
