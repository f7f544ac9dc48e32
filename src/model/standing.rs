//! Who a client is to M3, as those who run the gateway set it.

use super::call::Place;
use super::ids::{BadId, Company, Division, Language, M3User};

/// Lists that are empty allow nothing more and forbid nothing: what holds then is what the rules say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The user that M3 sees; a client without one is refused before M3 is asked.
    pub user: Option<M3User>,
    /// Where a call runs that names no place.
    pub company: Option<Company>,
    pub division: Option<Division>,
    /// The language of a call that names none, where M3 can be told of it call by call: over m3api-rest.
    pub language: Option<Language>,
    /// Where calls may run and reach; empty: wherever the rules let them. The blank division is the company as a whole.
    pub companies: Vec<Company>,
    pub divisions: Vec<Division>,
    /// Other users that it may run as (`m3user`); empty: none.
    pub run_as: Vec<M3User>,
    /// A write by GET is called by its `_rid`, as if that were an Idempotency-Key: clients of Infor's make one for each call.
    pub rid_is_key: bool,
}

impl Standing {
    /// The company as a whole among the divisions of a client. A word of its own: where nothing is written, something may
    /// have been lost.
    pub const WHOLE: &str = "company";

    /// A division of a client, as operators write it.
    pub fn read_division(text: &str) -> Result<Division, BadId> {
        match text {
            Self::WHOLE => Ok(Division::BLANK),
            text => Division::parse(text).ok().filter(|division| !division.is_blank()).ok_or(BadId::Bound),
        }
    }

    pub fn told_divisions(&self) -> Vec<String> {
        let told = |one: &Division| if one.is_blank() { Self::WHOLE.to_owned() } else { one.to_string() };
        self.divisions.iter().map(told).collect()
    }

    /// Whether anything here narrows where the client may work.
    pub fn is_bound(&self) -> bool {
        !self.companies.is_empty() || !self.divisions.is_empty()
    }

    /// The same, bound to these companies as well; `None` where that leaves none.
    pub fn within(&self, companies: &[Company]) -> Option<Self> {
        let own = |company: &Company| self.companies.is_empty() || self.companies.contains(company);
        let companies: Vec<Company> = companies.iter().copied().filter(own).collect();
        let usual = self.company.filter(|company| companies.contains(company));
        let only = if let [only] = *companies { Some(only) } else { None };
        (!companies.is_empty()).then(|| Self { company: usual.or(only), companies, ..self.clone() })
    }

    /// The blank division is the company's own view of all of them: whoever is bound to divisions has it only if it is among
    /// them.
    pub fn may_work_in(&self, place: Place) -> bool {
        (self.companies.is_empty() || self.companies.contains(&place.company))
            && (self.divisions.is_empty() || self.divisions.contains(&place.division))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_client_works_where_it_is_bound_to_and_nowhere_else() {
        let place = |company, division: &str| Place {
            company: Company::new(company).expect("a company"),
            division: Division::parse(division).expect("a division"),
        };
        let bound = Standing {
            companies: vec![place(100, "").company],
            divisions: vec![place(100, "AAA").division],
            ..Standing::default()
        };
        assert!(bound.is_bound() && bound.may_work_in(place(100, "AAA")));
        for elsewhere in [place(200, "AAA"), place(100, "BBB"), place(100, "")] {
            assert!(!bound.may_work_in(elsewhere), "{elsewhere:?}");
        }
        let of = |numbers: &[u16]| numbers.iter().map(|number| place(*number, "").company).collect::<Vec<_>>();
        assert_eq!(bound.within(&of(&[100, 200])).expect("100 is left").companies, of(&[100]));
        assert_eq!(bound.within(&of(&[200])), None);
        let free = Standing { company: Some(place(300, "").company), ..Standing::default() };
        let narrowed = free.within(&of(&[100, 200])).expect("it had no bound");
        assert_eq!((narrowed.company, narrowed.companies), (None, of(&[100, 200])), "300 is no place of it any more");
        assert_eq!(free.within(&of(&[200])).expect("one").company, Some(place(200, "").company));
        assert!(Standing::default().may_work_in(place(999, "ZZZ")) && !Standing::default().is_bound());
    }

    #[test]
    fn the_company_as_a_whole_has_a_word_and_nothing_written_is_none() {
        let divisions = ["aaa", "company"].map(|text| Standing::read_division(text).expect("a division"));
        let bound = Standing { divisions: divisions.to_vec(), ..Standing::default() };
        assert_eq!((divisions[1], bound.told_divisions()), (Division::BLANK, vec!["AAA".to_owned(), "company".into()]));
        for text in ["", " ", "Company", "AAAA"] {
            assert_eq!(Standing::read_division(text), Err(BadId::Bound), "{text:?}");
        }
    }
}
