//! Documents of the mock's records: read back whole, in the outline's order, valid by our own check and by xmllint.

use crate::house::House;
use insta::assert_snapshot;
use mi_gateway::bod::shipped;
use mi_gateway::mock_m3::{Field, Metadata, Transaction};
use mi_gateway::model::{FieldKind, FieldLayout, FieldName, Layout, ProgramName, TransactionLayout, TransactionName};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

const NOUNS: [(&str, &[&str]); 10] = [
    ("ItemMaster", &["ITNO=A00001"]),
    ("CustomerPartyMaster", &["CUNO=C00001"]),
    ("ShipToPartyMaster", &["CUNO=C00005", "ADRT=1", "ADID=WH1"]),
    ("BillToPartyMaster", &["CUNO=C00001"]),
    ("PayFromPartyMaster", &["CUNO=C00001"]),
    ("SupplierPartyMaster", &["SUNO=S00001"]),
    ("PurchaseOrder", &["PUNO=2000001"]),
    ("SalesOrder", &["ORNO=1000001"]),
    ("ChartOfAccounts", &["AITP=1", "AITM=1000"]),
    ("CodeDefinition", &["AITP=2", "AITM=1600"]),
];

/// The command, over the state of a gateway that runs.
pub(crate) fn bod(state: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mi-gateway"))
        .current_dir(state)
        .env("MI_GATEWAY__STATE__DIR", state)
        .arg("bod")
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("the command can be started")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn preview(house: &House, words: &[&str]) -> Output {
    let (state, words) =
        (house.state.path().to_owned(), words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    let asked = move || bod(&state, &words.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(asked).await.expect("it ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_noun_is_read_back_whole_and_valid() {
    let house = House::start().await;
    for (noun, key) in NOUNS {
        let ended = preview(&house, &[&["preview", noun], key].concat()).await;
        let document = text(&ended.stdout);
        assert!(ended.status.success(), "{noun}: {}", text(&ended.stderr));
        let off = "Sync.CodeDefinition is switched off here: this is what it would be\n";
        let noted = if noun == "CodeDefinition" { off } else { "" };
        assert_eq!(text(&ended.stderr), noted, "{noun} has no flaw and lost no character");
        assert_snapshot!(noun, timeless(&document));
        let file = house.state.path().join(format!("{noun}.xml"));
        std::fs::write(&file, &document).expect("a file");
        let file = file.display().to_string();
        let ended = bod(house.state.path(), &["validate", &file]);
        assert!(ended.status.success(), "{}", text(&ended.stdout));
        agrees(house.state.path(), noun, &file);
    }
    house.stop().await;
}

/// Without what is of the moment.
pub(crate) fn timeless(document: &str) -> String {
    let of = |text: String, begin: &str, end: char| {
        let Some((before, rest)) = text.split_once(begin) else { return text };
        let behind = rest.find(end).map_or("", |at| &rest[at..]);
        format!("{before}{begin}…{behind}")
    };
    let marks = [("variationID=\"", '"'), ("<CreationDateTime>", '<'), ("<BODID>", '<'), ("<ReferenceID>", '<')];
    marks.into_iter().fold(document.to_owned(), |text, (begin, end)| of(text, begin, end))
}

/// The schema that we print, in the hands of another's validator.
pub(crate) fn agrees(folder: &Path, noun: &str, document: &str) {
    let schema = folder.join(format!("{noun}.xsd"));
    std::fs::write(&schema, bod(folder, &["schema", noun]).stdout).expect("a file");
    let ended = Command::new("xmllint").args(["--noout", "--nonet", "--schema"]).arg(&schema).arg(document).output();
    let ended = ended.expect("xmllint is there: tests/run installs it");
    assert!(ended.status.success(), "{}", text(&ended.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_names_its_document_and_a_delete_is_one() {
    let house = House::start().await;
    let of = |words: Vec<&'static str>| {
        let house = &house;
        async move { preview(house, &[&["preview"][..], &words].concat()).await }
    };
    let ended = of(vec!["MMS200MI/CpyItmBasic", "ITNO=A00001", "CITN=A00002"]).await;
    assert!(text(&ended.stdout).contains(">A00002</ID>"), "the copy: {}", text(&ended.stderr));
    let ended = of(vec!["MMS200MI/DltItm", "ITNO=A00001"]).await;
    assert!(text(&ended.stdout).contains("actionCode=\"Delete\""), "{}", text(&ended.stderr));
    let ended = of(vec!["PPS200MI/DltLine", "PUNO=2000001"]).await;
    assert!(text(&ended.stdout).contains("actionCode=\"Replace\""), "a line is a part: {}", text(&ended.stderr));
    let ended = of(vec!["PPS200MI/ApprovePO", "PUNO=2000001"]).await;
    let shown = text(&ended.stdout);
    for root in ["<SyncPurchaseOrder ", "<ProcessPurchaseOrder "] {
        assert_eq!(shown.matches(root).count(), 1, "both that are sent: {shown} {}", text(&ended.stderr));
    }
    assert!(shown.contains("<LogicalID>lid://mi-gateway.m3<"), "as they are sent: {shown}");
    let ended = of(vec!["Process.PurchaseOrder", "PUNO=2000001", "--lid", "lid://other"]).await;
    let shown = text(&ended.stdout);
    assert!(shown.contains("<ProcessPurchaseOrder ") && shown.contains("<LogicalID>lid://other<"), "{shown}");
    let ended = of(vec!["PPS370MI/FinishEntry", "MSGN=1", "PUNO=2000001"]).await;
    assert!(text(&ended.stdout).contains("<SyncPurchaseOrder "), "the order that came of it: {}", text(&ended.stderr));
    let refused = [
        (vec!["PPS370MI/FinishEntry", "MSGN=1"], "PUNO is missing: it names the document"),
        (vec!["MMS200MI/Get", "ITNO=A"], "MMS200MI/Get makes no document: it changes nothing"),
        (vec!["MMS060MI/SetBalIdAloc"], "no mapping names it"),
        (vec!["ItemMaster"], "ITNO is missing: it names the document"),
        (vec!["ItemMaster", "ITNO=NOSUCH"], "MMS200MI/Get: "),
        (vec!["ChartOfAccounts", "AITP=2", "AITM=1600"], "records like this one have no ChartOfAccounts"),
        (vec!["CodeDefinition", "AITP=1", "AITM=1000"], "records like this one have no CodeDefinition"),
    ];
    for (words, why) in refused {
        let ended = of(words.clone()).await;
        assert!(!ended.status.success(), "{words:?}");
        assert!(text(&ended.stderr).contains(why), "{words:?}: {}", text(&ended.stderr));
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sites_mapping_adds_its_own_fields() {
    let house = House::start().await;
    let site = r#"
noun = "ItemMaster"
extends = "shipped"
[document]
elements = [
  { property = "acme.Responsible", in = "ItemMasterHeader", value = "head.RESP" },
  { path = "ItemMasterHeader/custom:Shelf", value = "head.ITTY | lower" },
]
"#;
    let file = house.state.path().join("item.toml");
    std::fs::write(&file, site).expect("a file");
    let file = file.display().to_string();
    let ended = preview(&house, &["preview", "ItemMaster", "ITNO=A00001", "--mapping", &file]).await;
    let shown = text(&ended.stdout);
    assert!(shown.contains("<custom:Shelf>"), "{}", text(&ended.stderr));
    assert!(shown.contains("xmlns:custom=\"http://schema.infor.com/InforOAGIS/Custom\""));
    std::fs::write(&file, site.replace("head.RESP", "head.NONE")).expect("a file");
    let ended = preview(&house, &["preview", "ItemMaster", "ITNO=A00001", "--mapping", &file]).await;
    assert!(text(&ended.stderr).contains("item.toml:6:3: MMS200MI/Get gives no field NONE"), "{}", text(&ended.stderr));
    house.stop().await;
}

#[test]
fn two_documents_are_compared_by_the_command_as_those_in_shadow_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let document = |id: &str, name: &str| {
        format!(
            "<SyncItemMaster><ApplicationArea><BODID>{id}</BODID></ApplicationArea><DataArea><Sync/><ItemMaster><Name>{name}\
             </Name><UserArea><Property><NameValue name=\"m3.PWMT\">{name}</NameValue></Property></UserArea></ItemMaster>\
             </DataArea></SyncItemMaster>"
        )
    };
    let write = |name: &str, document: String| std::fs::write(folder.path().join(name), document).expect("a file");
    write("a.xml", document("1", "One"));
    write("b.xml", document("2", "One"));
    write("c.xml", document("3", "Other"));
    write("torn.xml", document("3", "Other")[..100].to_owned());
    let same = bod(folder.path(), &["compare", "a.xml", "b.xml"]);
    assert_eq!((same.status.code(), text(&same.stderr).as_str()), (Some(0), "The documents say the same.\n"));
    let other = bod(folder.path(), &["compare", "a.xml", "c.xml"]);
    let hidden = "ItemMaster/UserArea/Property(m3.PWMT)/NameValue: \"***\" | \"***\"\n";
    assert_eq!(text(&other.stdout), format!("ItemMaster/Name: \"One\" | \"Other\"\n{hidden}"));
    assert_eq!((other.status.code(), text(&other.stderr).as_str()), (Some(1), "They differ in 2 places.\n"));
    let as_json = bod(folder.path(), &["compare", "a.xml", "c.xml", "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&as_json.stdout).expect("JSON");
    assert_eq!(
        (&told["result"], &told["differences"], as_json.status.code()),
        (&"different".into(), &2.into(), Some(1))
    );
    assert_eq!(told["first"][0]["theirs"], "Other", "{told}");
    let torn = bod(folder.path(), &["compare", "a.xml", "torn.xml"]);
    assert!(torn.status.code() == Some(2) && text(&torn.stderr).contains("torn.xml"), "{}", text(&torn.stderr));
}

#[test]
fn writes_that_no_document_tells_of_are_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    let ended = bod(folder.path(), &["coverage", "CRS610MI"]);
    assert_snapshot!(text(&ended.stdout) + &text(&ended.stderr));
}

pub(crate) fn layout(found: &Transaction) -> Option<TransactionLayout> {
    let fields = |fields: &[Field]| -> Option<Layout> {
        let field = |field: &Field| {
            Some(FieldLayout {
                name: FieldName::parse(&field.name).ok()?,
                kind: FieldKind::of(&field.kind.to_string())?,
                from: u16::try_from(field.from).ok()?,
                length: u16::try_from(field.length).ok()?,
                mandatory: field.mandatory,
                description: "".into(),
            })
        };
        Some(Layout::new(fields.iter().map(field).collect::<Option<Vec<_>>>()?))
    };
    Some(TransactionLayout {
        program: ProgramName::parse(&found.program).ok()?,
        name: TransactionName::parse(&found.name).ok()?,
        description: "".into(),
        multi: found.multi,
        input: fields(&found.input)?,
        output: fields(&found.output)?,
    })
}

#[test]
fn the_shipped_mappings_fit_m3_as_it_describes_itself_and_what_they_cut_is_known() {
    let metadata = Metadata::shipped();
    let mut cuts = Vec::new();
    for mapping in shipped().expect("shipped") {
        let fit = mapping.fit(&|program, name| {
            let mut all = metadata.programs().flat_map(|program| program.transactions.iter());
            let found = all.find(|one| (one.program.as_str(), one.name.as_str()) == (program.as_str(), name.as_str()));
            found.and_then(layout).map(Arc::new)
        });
        assert!(
            fit.faults.is_empty() && fit.unseen.is_empty(),
            "{}: {:?} {:?}",
            mapping.noun(),
            fit.faults,
            fit.unseen
        );
        cuts.extend(fit.cuts.iter().map(|cut| format!("{}: {}", mapping.noun(), cut.message)));
    }
    assert_snapshot!(cuts.join("\n"), @"");
}

#[test]
fn check_holds_a_sites_mapping_against_the_saved_catalog_and_says_what_it_could_not_see() {
    let folder = tempfile::tempdir().expect("a folder");
    let site = "noun = \"ItemMaster\"\nextends = \"shipped\"\n[[write]]\ntransaction = \"EXT100MI/Touch\"\nproof = \"never\"\n";
    let mappings = folder.path().join("mappings");
    std::fs::create_dir(&mappings).expect("a folder");
    std::fs::write(mappings.join("site.toml"), site).expect("a mapping");
    let check = || {
        let ended = Command::new(env!("CARGO_BIN_EXE_mi-gateway"))
            .current_dir(folder.path())
            .env("MI_GATEWAY__STATE__DIR", folder.path().join("state"))
            .env("MI_GATEWAY__PUBLISH__MAPPINGS", &mappings)
            .arg("check")
            .stdin(Stdio::null())
            .output()
            .expect("the command can be started");
        (ended.status.code(), text(&ended.stderr))
    };
    let (code, said) = check();
    assert!(code == Some(0) && said.contains("nothing is known here of EXT100MI/Touch"), "{said}");
    let touch = r#"{"program":"EXT100MI","name":"Touch","description":"","multi":false,"output":[],
        "input":[["ITEM","A",16,15,true,""]]}"#;
    std::fs::create_dir(folder.path().join("state")).expect("a folder");
    let catalog = format!(r#"{{"version":1,"transactions":[{touch}]}}"#);
    std::fs::write(folder.path().join("state/catalog.json"), catalog).expect("a catalog");
    let (code, said) = check();
    let fault = "site.toml:4:15: a mapping EXT100MI/Touch neither takes nor gives ITNO";
    assert!(code == Some(2) && said.contains(fault), "{said}");
}
