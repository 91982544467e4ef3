//! The log carried out of the house and into another one, and held to what was sealed wherever it is.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use almanac_store::Database;
use almanac_store::log::{Frontier, LogReader};
use almanac_store::transparency::{SigningKey, TreeHead, checkpoint};
use almanac_tests::{Almanac, Folder, Person, binary, eventually, own_database_url};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::demo::{QUICK, STILL, demo_in};

fn almanac(arguments: &[&str]) -> Output {
    Command::new(binary())
        .args(arguments)
        .env_remove("DATABASE_URL")
        .env_remove("ALMANAC_DATA_DIR")
        .output()
        .expect("the binary runs")
}

/// Runs a verb that ends with this code; what it said as JSON, and on standard error.
fn ends_with(code: i32, arguments: &[&str]) -> (Value, String) {
    let output = almanac(arguments);
    let (said, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr).into_owned());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    (said.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default(), errors)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a readable path")
}

/// A demo that has scored predictions and published heads, and then stands still.
async fn lived(folder: &Folder) -> Almanac {
    let quick = demo_in(folder, QUICK, &[]);
    let reader = Person::at(&quick.address);
    eventually("scored predictions and published heads", || async {
        let scored = reader.get("/predictions?state=scored&limit=10").await;
        let heads = reader.get("/log/checkpoints?limit=3").await;
        (scored["items"].as_array()?.len() >= 8 && heads["items"].as_array()?.len() >= 2).then_some(())
    })
    .await;
    let session = reader.get("/status").await["last_session"].clone();
    assert!(quick.stop());
    // It lives through one session more. What it writes after an export would be a fork in the house that the export moves to.
    let still = demo_in(folder, STILL, &[]);
    let reader = Person::at(&still.address);
    eventually("a log at rest after another session", || async {
        let before = reader.get("/status").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let after = reader.get("/status").await;
        (after["last_session"] != session && before["head"] == after["head"]).then_some(())
    })
    .await;
    still
}

/// Speaks SQL to the database below `folder`, past the service.
fn sql(folder: &Path, statements: &str) -> String {
    let pid = fs::read_to_string(folder.join("postgres/postmaster.pid")).expect("a running server");
    let sockets = pid.lines().nth(4).expect("the folder of the sockets");
    let output = Command::new("psql")
        .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"])
        .args(["--host", sockets, "--username=almanac", "--dbname=almanac", "--single-transaction"])
        .args(["--command", statements])
        .output()
        .expect("psql");
    assert!(output.status.success(), "{statements}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The same as the owner of the tables can, with every trigger off.
fn forge(folder: &Path, statements: &str) {
    let off = ["events", "event_log", "log_checkpoints", "log_tiles"]
        .map(|table| format!("alter table {table} disable trigger {table}_append_only;"));
    sql(folder, &(off.concat() + statements));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).expect("copied");
        }
    }
}

#[tokio::test]
async fn a_log_moves_into_another_house_and_the_track_record_with_it() {
    let (old, files) = (Folder::new("moved-from"), Folder::new("moved-files"));
    let demo = lived(&old).await;
    let reader = Person::at(&demo.address);
    let data = text(old.path());
    let checkpoint = files.path().join("published.txt");
    let head = reader.get("/status").await["head"].as_i64().expect("a head");
    let record = reader.get(&format!("/track-record?as_of={head}")).await;
    assert!(!record["items"].as_array().expect("records").is_empty());
    let (_, published) = reader.page("/api/v1/log/checkpoint").await;
    fs::write(&checkpoint, published).expect("written");

    // While the service runs, as a nightly copy would be made.
    let mut roots = vec![];
    for format in ["jsonl", "parquet"] {
        let out = files.path().join(format);
        let (exported, _) =
            ends_with(0, &["export", text(&out), "--data-dir", data, "--format", format, "--json"]);
        assert_eq!(exported["format"], format);
        let (again, _) = ends_with(0, &["export", text(&out), "--data-dir", data, "--json"]);
        assert!(again["size"].as_i64() >= exported["size"].as_i64());
        let key = again["verifier_key"].as_str().expect("a key").to_owned();
        let verified =
            ["verify", "--export", text(&out), "--checkpoint", text(&checkpoint), "--key", &key, "--json"];
        let (report, _) = ends_with(0, &verified);
        assert_eq!((&report["root"], &report["key_is_trusted"]), (&again["root"], &json!(true)));
        assert!(report["checkpoints"]["checked"].as_u64() >= Some(2), "{report}");
        roots.push((again["root"].clone(), again["size"].as_i64(), out, key));
    }
    // The end of it into object storage, which is verified as far as it can be.
    let bucket = format!("file://{}", text(&files.path().join("bucket")));
    let (part, _) = ends_with(0, &["export", &bucket, "--data-dir", data, "--from", "20", "--json"]);
    assert_eq!((&part["first"], &part["folder"]), (&json!(20), &json!(bucket)));
    let (report, _) = ends_with(0, &["verify", "--export", &bucket, "--data-dir", data, "--json"]);
    assert_eq!((&report["first"], &report["root"]), (&json!(20), &part["root"]));
    assert!(report["checkpoints"]["checked"].as_u64() >= Some(1), "{report}");
    assert!(demo.stop());

    for (place, (root, size, out, key)) in roots.into_iter().enumerate() {
        let new = Folder::new(&format!("moved-to-{place}"));
        let moved = text(new.path());
        let (imported, _) = ends_with(0, &["import", text(&out), "--data-dir", moved, "--json"]);
        assert_eq!((&imported["root"], imported["size"].as_i64()), (&root, size));
        let (again, _) = ends_with(0, &["import", text(&out), "--data-dir", moved, "--json"]);
        assert_eq!(again["imported"]["events"], 0);
        let verified =
            ["verify", "--data-dir", moved, "--key", &key, "--checkpoint", text(&checkpoint), "--json"];
        assert_eq!(ends_with(0, &verified).0["root"], root);

        copy(&old.path().join("objects"), &new.path().join("objects"));
        fs::copy(old.path().join("log.key"), new.path().join("log.key")).expect("the key moves too");
        let served = Almanac::start(
            &["serve", "--data-dir", moved, "--listen", "127.0.0.1:0"],
            &[("ALMANAC_MODE", "simulated")],
        );
        let reader = Person::at(&served.address);
        eventually("the same track record", || async {
            let path = format!("/track-record?as_of={head}");
            let known = reader.status_of(&path).await.is_success();
            (known && reader.get(&path).await["items"] == record["items"]).then_some(())
        })
        .await;
        // The first administrator is new here: the log goes on.
        assert!(served.stop());
        let (report, _) = ends_with(0, &verified);
        assert!(report["events"].as_i64() > size, "{report}");
    }
}

#[tokio::test]
async fn fault_53_an_erasure_that_a_restored_database_does_not_know_of_is_done_again_from_an_export() {
    let (folder, restored, files) = (Folder::new("erased"), Folder::new("restored"), Folder::new("erasures"));
    let password = "correct horse battery";
    let almanac = Almanac::own(&folder);
    let (ann, bea) = (Person::at(&almanac.address), Person::at(&almanac.address));
    ann.register("ann@example.org", password).await;
    bea.register("bea@example.org", password).await;
    assert!(almanac.stop());
    let from = folder.path().join(".");
    assert!(Command::new("cp").arg("-a").args([&from, restored.path()]).status().expect("cp").success());

    let almanac = Almanac::own(&folder);
    let ann = Person::at(&almanac.address);
    ann.sign_in("ann@example.org", password).await;
    let erase = ann.request(reqwest::Method::DELETE, "/account").json(&json!({ "password": password }));
    assert_eq!(erase.send().await.expect("an answer").status(), reqwest::StatusCode::NO_CONTENT);
    eventually("a sealed erasure", || async {
        let sealed = "select count(*) from event_log where event_type = 'AccountErased'";
        (sql(folder.path(), sealed) == "1").then_some(())
    })
    .await;
    let out = files.path().join("export");
    ends_with(0, &["export", text(&out), "--data-dir", text(folder.path())]);
    assert!(almanac.stop());

    let again = ["erase-again", text(&out), "--data-dir", text(restored.path()), "--json"];
    assert_eq!(ends_with(0, &again).0, json!({ "named": 1, "erased": 1 }));
    assert_eq!(ends_with(0, &again).0, json!({ "named": 1, "erased": 0 }));
    let almanac = Almanac::own(&restored);
    for (table, left) in [("vault where kind = 'email'", "1"), ("claims where kind = 'email'", "1")] {
        let count = format!("select count(*) from {table} and value like '%@example.org'");
        assert_eq!(sql(restored.path(), &count), left, "{table}");
    }
    let (ann, bea) = (Person::at(&almanac.address), Person::at(&almanac.address));
    bea.sign_in("bea@example.org", password).await;
    let credentials = json!({ "email": "ann@example.org", "password": password });
    let (status, _) = ann.refused(reqwest::Method::POST, "/session", credentials).await;
    assert_eq!(status, reqwest::StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn fault_12_the_command_line_names_the_first_event_that_was_touched() {
    let folder = Folder::new("touched");
    let _demo = lived(&folder).await;
    let (path, data) = (folder.path(), text(folder.path()));
    let verify = ["verify", "--data-dir", data, "--json"];
    ends_with(0, &verify);
    let row = "where position = (select position from event_log where ordinal =";
    for (forgery, mend, first, kind) in [
        (
            format!("update events set payload = jsonb_set(payload, '{{x}}', '1') {row} 9)"),
            format!("update events set payload = payload - 'x' {row} 9)"),
            9,
            "altered",
        ),
        (
            "update event_log set as_of = as_of + interval '1 second' where ordinal = 11".to_owned(),
            "update event_log set as_of = as_of - interval '1 second' where ordinal = 11".to_owned(),
            11,
            "misdated",
        ),
        (
            format!("create table kept as select * from events {row} 8); delete from events {row} 8)"),
            "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, position, xid, recorded_at, event_id)
             overriding system value
             select aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, position, xid, recorded_at, event_id from kept; drop table kept"
                .to_owned(),
            8,
            "missing",
        ),
    ] {
        forge(path, &forgery);
        let (report, errors) = ends_with(1, &verify);
        assert_eq!((&report["first_bad"]["ordinal"], &report["first_bad"]["kind"]), (&json!(first), &json!(kind)), "{report}");
        assert!(errors.contains(&format!("event {first}")), "{errors}");
        let out = path.join("export");
        let (_, errors) = ends_with(1, &["export", text(&out), "--data-dir", data]);
        assert!(errors.contains(&format!("event {first} ")), "{errors}");
        let _never_made = fs::remove_dir_all(out);
        forge(path, &mend);
        ends_with(0, &verify);
    }
}

#[tokio::test]
async fn fault_12_a_cut_tail_shows_against_a_published_head() {
    let folder = Folder::new("cut");
    let demo = lived(&folder).await;
    let (path, data) = (folder.path(), text(folder.path()));
    let early = path.join("early");
    ends_with(0, &["export", text(&early), "--data-dir", data]);
    let manifest: Value =
        serde_json::from_slice(&fs::read(early.join("manifest.json")).expect("a manifest")).expect("JSON");
    let size = manifest["head"]["size"].as_i64().expect("a size");
    drop(demo);

    let quick = demo_in(&folder, QUICK, &[]);
    let reader = Person::at(&quick.address);
    let published = eventually("a later head", || async {
        let newest = reader.get("/log/checkpoints?limit=1").await["items"][0].clone();
        (newest["size"].as_i64()? > size).then(|| newest["note"].as_str().unwrap_or_default().to_owned())
    })
    .await;
    let note = path.join("published.txt");
    fs::write(&note, published).expect("written");
    assert!(quick.stop());
    // It keeps the database running and writes nothing.
    let serve = ["serve", "--data-dir", data, "--listen", "127.0.0.1:0"];
    let _server = Almanac::start(&serve, &[("ALMANAC_ROLES", "api"), ("ALMANAC_MODE", "simulated")]);
    // Everything after the early export is taken back, so that nothing inside the database contradicts it.
    let roots: Vec<_> = manifest["head"]["frontier"].as_array().expect("roots").iter().collect();
    let roots = roots.iter().map(|root| format!("decode('{}', 'hex')", root.as_str().unwrap_or_default()));
    let roots = roots.collect::<Vec<_>>().join(",");
    forge(
        path,
        &format!(
            "update sequencer set last_ordinal = {size}, frontier = array[{roots}],
                    last_as_of = (select as_of from event_log where ordinal = {size}), generation = generation + 1000;
             delete from events where position not in (select position from event_log where ordinal <= {size});
             delete from event_log where ordinal > {size};
             delete from log_checkpoints where size > {size};
             delete from log_tiles where (index + 1) * (256::numeric ^ (level + 1)) > {size}"
        ),
    );
    let verify = ["verify", "--data-dir", data, "--json"];
    let by_itself = [&verify[..], &["--database-only"]].concat();
    ends_with(0, &by_itself);
    let with_a_mail = [&by_itself[..], &["--checkpoint", text(&note)]].concat();
    // Nobody has to bring a head: those in object storage are asked.
    for verify in [&verify[..], &with_a_mail] {
        let (report, errors) = ends_with(1, verify);
        assert_eq!(report["first_bad"]["kind"], "tail-cut", "{report}");
        assert!(errors.contains("cut"), "{errors}");
    }
}

/// Puts other words into the event and hashes everything anew, as the owner of the database can, so that nothing in it
/// contradicts them.
async fn rewrite(folder: &Path, ordinal: i64) {
    let rewrite = "update events set payload = jsonb_set(payload, '{x}', '1') where position =";
    forge(folder, &format!("{rewrite} (select position from event_log where ordinal = {ordinal})"));
    let database = Database::open(&own_database_url(folder)).await.expect("it answers");
    let reader = LogReader::new(&database);
    let event = reader.at_ordinal(ordinal).await.expect("an answer").expect("it is there");
    let digest = hex::encode(event.recomputed_hash());
    forge(folder, &format!("update event_log set event_hash = '\\x{digest}' where ordinal = {ordinal}"));
    let mut log = Frontier::default();
    for event in reader.after(0, i64::MAX / 2).await.expect("the log") {
        log.push(&event.event_hash);
    }
    let roots = log.roots().iter().map(|root| format!("'\\x{}'::bytea", hex::encode(root)));
    let roots = roots.collect::<Vec<_>>().join(",");
    forge(
        folder,
        &format!(
            "update sequencer set frontier = array[{roots}]; delete from log_checkpoints; delete from log_tiles"
        ),
    );
    database.pool().close().await;
}

#[tokio::test]
async fn fault_12_a_live_log_hashed_anew_without_its_table_of_heads_is_named_by_those_in_object_storage() {
    let folder = Folder::new("rewritten");
    assert!(lived(&folder).await.stop());
    let (path, data) = (folder.path(), text(folder.path()));
    // It keeps the database running and writes nothing.
    let serve = ["serve", "--data-dir", data, "--listen", "127.0.0.1:0"];
    let _server = Almanac::start(&serve, &[("ALMANAC_ROLES", "api"), ("ALMANAC_MODE", "simulated")]);
    let verify = ["verify", "--data-dir", data, "--json"];
    let by_itself = [&verify[..], &["--database-only"]].concat();
    let (report, _) = ends_with(0, &verify);
    assert!(report["heads_in_storage"].as_u64() >= Some(2), "{report}");
    assert_eq!(report["key_is_trusted"], true, "the key is the one in the data folder: {report}");

    rewrite(path, 9).await;
    let (report, _) = ends_with(0, &by_itself);
    assert_eq!(report["key_is_trusted"], false, "{report}");
    let (report, errors) = ends_with(1, &verify);
    // Between two heads, of which the earlier one still fits.
    let bad = &report["first_bad"];
    let (from, to) = (bad["ordinal"].as_i64().expect("a place"), bad["until"].as_i64().expect("a place"));
    assert!(bad["kind"] == "rewritten" && (from..=to).contains(&9), "{report}");
    assert!(errors.contains("rewritten"), "{errors}");

    // The heads in object storage are gone too, and the database names a key of the forger's, and a head signed with it.
    fs::remove_dir_all(path.join("objects/checkpoints")).expect("they were there");
    let database = Database::open(&own_database_url(path)).await.expect("it answers");
    let known = checkpoint::key_of_log(database.pool()).await.expect("an answer").expect("a key");
    let forger = SigningKey::from_seed(known.name(), [1; 32]).expect("a key of the same name");
    let off = "alter table log_keys disable trigger log_keys_append_only";
    sql(path, &format!("{off}; update log_keys set verifier_key = '{}'", forger.verifier()));
    let (size, root) = checkpoint::sealed(&database).await.expect("an answer");
    let head = TreeHead { origin: known.name().to_owned(), size, root }.signed(&forger).expect("a head");
    checkpoint::record(&database, &head, "2024-05-06T12:00:00Z".parse().expect("a time"))
        .await
        .expect("the log agrees with it");
    database.pool().close().await;
    ends_with(0, &by_itself);
    let (_, errors) = ends_with(1, &verify);
    assert!(errors.contains("not signed by"), "the key in the data folder has not signed that: {errors}");
}

/// The digest of a line of an export, by its documentation: what was hashed is the line without `as_of` and `hash`.
fn digest(line: &Value) -> [u8; 32] {
    let mut members = line.as_object().expect("an object").clone();
    members.retain(|name, _| name != "as_of" && name != "hash");
    let form = Value::Object(members).to_string();
    Sha256::new().chain_update("almanac/event\0v1\0").chain_update(form).finalize().into()
}

/// The roots of the perfect subtrees over these leaves, largest first, and the root over all of them (RFC 6962).
fn tree(leaves: &[[u8; 32]]) -> (Vec<[u8; 32]>, [u8; 32]) {
    let node = |left: [u8; 32], right: [u8; 32]| -> [u8; 32] {
        Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
    };
    let mut roots: Vec<(u32, [u8; 32])> = vec![];
    for leaf in leaves {
        let mut grown = (0, Sha256::new().chain_update([0]).chain_update(leaf).finalize().into());
        while let Some(left) = roots.pop_if(|(height, _)| *height == grown.0) {
            grown = (grown.0 + 1, node(left.1, grown.1));
        }
        roots.push(grown);
    }
    let roots: Vec<_> = roots.into_iter().map(|(_, root)| root).collect();
    let root = roots.iter().rev().copied().reduce(|right, left| node(left, right)).expect("leaves");
    (roots, root)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[tokio::test]
async fn fault_12_an_export_hashed_anew_agrees_with_itself_and_not_with_a_published_head() {
    let (folder, files) = (Folder::new("anew"), Folder::new("anew-files"));
    let demo = lived(&folder).await;
    let out = files.path().join("out");
    let (exported, _) = ends_with(0, &["export", text(&out), "--data-dir", text(folder.path()), "--json"]);
    drop(demo);
    let published = files.path().join("published.txt");
    fs::copy(out.join("checkpoint.txt"), &published).expect("kept elsewhere");
    let verify = ["verify", "--export", text(&out), "--json"];
    assert_eq!(ends_with(0, &verify).0["root"], exported["root"]);

    // A byte flipped, and nothing else.
    let manifest_path = out.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&manifest_path).expect("read")).expect("JSON");
    let file = manifest["segments"][0]["file"].as_str().expect("a name").to_owned();
    let segment = out.join(&file);
    let sound = fs::read_to_string(&segment).expect("text");
    let mut lines: Vec<Value> =
        sound.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert!(lines.iter().all(|line| line["hash"] == hex(&digest(line))), "the digest is what the guide says");
    let flipped = sound.replacen("\"event_version\":\"1.0\"", "\"event_version\":\"1.1\"", 1);
    fs::write(&segment, flipped).expect("written");
    let (report, errors) = ends_with(1, &verify);
    assert_eq!(report["first_bad"]["ordinal"], 1, "{report}");
    assert!(errors.contains(&file), "{errors}");
    let (_, errors) = ends_with(1, &["import", text(&out), "--data-dir", text(&files.path().join("new"))]);
    assert!(errors.contains(&file), "{errors}");

    // The same, by somebody who makes everything else agree.
    lines[0]["event_version"] = json!("1.1");
    let mut leaves = vec![];
    for line in &mut lines {
        let digest = digest(line);
        line["hash"] = json!(hex(&digest));
        leaves.push(digest);
    }
    let forged: String = lines.iter().flat_map(|line| [line.to_string(), "\n".to_owned()]).collect();
    fs::write(&segment, &forged).expect("written");
    let (roots, root) = tree(&leaves);
    manifest["segments"][0]["sha256"] = json!(hex(&Sha256::digest(&forged)));
    manifest["head"]["root"] = json!(hex(&root));
    manifest["head"]["frontier"] = roots.iter().map(|root| hex(root)).collect();
    fs::write(&manifest_path, manifest.to_string()).expect("written");
    fs::remove_file(out.join("checkpoints.jsonl")).expect("removed");
    ends_with(0, &verify);
    let (report, _) = ends_with(1, &[&verify[..], &["--checkpoint", text(&published)]].concat());
    assert_eq!(report["first_bad"]["kind"], "rewritten", "{report}");
}

#[test]
fn what_could_not_be_done_ends_with_another_code_than_tampering() {
    let (folder, empty) = (Folder::new("nothing"), Folder::new("nothing-there"));
    let (data, export) = (text(folder.path()), text(empty.path()));
    for arguments in [
        &["verify", "--data-dir", data][..],
        &["export", export, "--data-dir", data],
        &["verify", "--export", export],
        &["import", export, "--data-dir", data],
        &["verify", "--proof", "/nowhere"],
        &["verify", "--key", "not a key"],
        &["export", export, "--format", "csv"],
    ] {
        let (_, errors) = ends_with(2, arguments);
        assert!(!errors.is_empty(), "{arguments:?}");
    }
    assert!(!folder.path().join("postgres").exists(), "nothing was made on the way");
}
