//! The file of limits as it is written; unknown keys are refused.

use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPlan {
    pub(super) zone: Option<Spanned<String>>,
    pub(super) default: RawDefault,
    #[serde(default)]
    pub(super) client: BTreeMap<Spanned<String>, RawOwn>,
    #[serde(default)]
    pub(super) group: BTreeMap<Spanned<String>, RawOwn>,
    #[serde(default)]
    pub(super) program: Vec<RawProgram>,
    #[serde(default)]
    pub(super) transaction: Vec<RawTransaction>,
    #[serde(default)]
    pub(super) effect: Vec<RawEffect>,
    #[serde(default)]
    pub(super) concurrent: Vec<RawConcurrent>,
    #[serde(default)]
    pub(super) quota: Vec<RawQuota>,
    #[serde(default)]
    pub(super) cost: Vec<RawCost>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDefault {
    pub(super) rate: Spanned<String>,
    pub(super) burst: Spanned<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOwn {
    pub(super) rate: Spanned<String>,
    pub(super) burst: Spanned<i64>,
    #[serde(default)]
    pub(super) shadow: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProgram {
    pub(super) program: Spanned<String>,
    pub(super) client: Option<Spanned<String>>,
    pub(super) group: Option<Spanned<String>>,
    pub(super) rate: Spanned<String>,
    pub(super) burst: Spanned<i64>,
    #[serde(default)]
    pub(super) shadow: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTransaction {
    pub(super) program: Spanned<String>,
    pub(super) transaction: Spanned<String>,
    pub(super) client: Option<Spanned<String>>,
    pub(super) group: Option<Spanned<String>>,
    pub(super) rate: Spanned<String>,
    pub(super) burst: Spanned<i64>,
    #[serde(default)]
    pub(super) shadow: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEffect {
    pub(super) effect: Spanned<String>,
    pub(super) client: Option<Spanned<String>>,
    pub(super) group: Option<Spanned<String>>,
    pub(super) rate: Spanned<String>,
    pub(super) burst: Spanned<i64>,
    #[serde(default)]
    pub(super) shadow: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConcurrent {
    pub(super) calls: Spanned<i64>,
    pub(super) client: Option<Spanned<String>>,
    pub(super) group: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) shadow: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawQuota {
    pub(super) per: Spanned<String>,
    pub(super) units: Spanned<i64>,
    pub(super) client: Option<Spanned<String>>,
    pub(super) group: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) shadow: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCost {
    pub(super) program: Option<Spanned<String>>,
    pub(super) transaction: Option<Spanned<String>>,
    pub(super) effect: Option<Spanned<String>>,
    pub(super) units: Spanned<i64>,
    pub(super) all: Option<Spanned<i64>>,
}
