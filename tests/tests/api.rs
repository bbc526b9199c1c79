//! What an operator sees of who is connected, and how somebody is thrown out.

use anyhow::{Context, Result, ensure};
use e2e::ffmpeg::pull;
use e2e::http::{get, json, request};
use e2e::patient::{Patient, Phone};
use e2e::program::output_dir;
use e2e::relay::{EVERYTHING, Relay};
use e2e::wait::wait_for;
use serde_json::Value;
use std::time::Duration;

/// The one RTMP connection in this state.
fn connection(relay: &Relay, state: &str) -> Result<Value> {
    let all = relay.list("rtmpconns")?;
    let mut found = all.iter().filter(|conn| conn["state"] == state);
    let first = found.next().with_context(|| format!("no connection {state}: {all:?}"))?;
    ensure!(found.next().is_none(), "{all:?}");
    Ok(first.clone())
}

#[test]
fn who_is_connected_and_who_has_to_go() -> Result<()> {
    let dir = output_dir("api_who_is_connected")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let (api, metrics) = (relay.address("api")?, relay.address("metrics")?);
    let url = relay.rtmp("ward/bed-1")?;
    let mut phone = Patient::push("patient", &dir, &url, &Phone::default())?;
    relay.path_ready("ward/bed-1")?;
    let mut reader = pull("reader", &dir, &url, 120.0, &dir.join("reader.flv"))?;
    let path = relay.path_until("ward/bed-1", |path| path["readers"].as_array().is_some_and(|r| r.len() == 1))?;
    let (publishes, reads) = (connection(&relay, "publish")?, connection(&relay, "read")?);
    assert_eq!((&path["source"]["type"], &path["source"]["id"]), (&"rtmpConn".into(), &publishes["id"]));
    assert_eq!((&path["readers"][0]["type"], &path["readers"][0]["id"]), (&"rtmpConn".into(), &reads["id"]));
    for conn in [&publishes, &reads] {
        assert_eq!(conn["path"], "ward/bed-1");
    }

    // What it counts rises, and the metrics say the same of it.
    let id = reads["id"].as_str().context("no id")?;
    let one = format!("/v3/rtmpconns/get/{id}");
    let sent = || Ok::<_, anyhow::Error>(json("GET", &api, &one, None)?.1["bytesSent"].as_u64().unwrap_or(0));
    let before = sent()?;
    wait_for("more to be sent", Duration::from_secs(20), || Ok((sent()? > before + 10_000).then_some(())))?;
    let page = get(&metrics, "/metrics")?;
    ensure!(page.contains(&format!("rtmp_conns{{id=\"{id}\",path=\"ward/bed-1\"")), "{page}");

    // Page by page.
    let (_, first) = json("GET", &api, "/v3/rtmpconns/list?itemsPerPage=1&page=1", None)?;
    assert_eq!((&first["itemCount"], &first["pageCount"]), (&2.into(), &2.into()), "{first}");
    assert_eq!(first["items"].as_array().map(Vec::len), Some(1));

    // A muxer is there from the first wish on.
    assert_eq!(request("GET", &api, "/v3/hlsmuxers/get/ward/bed-1")?.0, 404);
    let hls = dir.join("hls.mkv");
    pull("hls", &dir, &relay.hls("ward/bed-1/index.m3u8")?, 1.0, &hls)?.succeed(Duration::from_secs(60))?;
    let (status, muxer) = json("GET", &api, "/v3/hlsmuxers/get/ward/bed-1", None)?;
    ensure!(status == 200 && muxer["bytesSent"].as_u64() > Some(1000), "{status} {muxer}");
    assert_eq!(relay.list("hlsmuxers")?.len(), 1);

    // The reader goes and nobody else notices; then the publisher.
    assert_eq!(request("POST", &api, "/v3/rtmpconns/kick/nobody")?.0, 404);
    assert_eq!(request("POST", &api, &format!("/v3/rtmpconns/kick/{id}"))?.0, 200);
    reader.wait(Duration::from_secs(20))?;
    assert_eq!(connection(&relay, "publish")?["id"], publishes["id"]);
    let id = publishes["id"].as_str().context("no id")?;
    assert_eq!(request("POST", &api, &format!("/v3/rtmpconns/kick/{id}"))?.0, 200);
    phone.program.wait(Duration::from_secs(20))?;
    relay.path_until("ward/bed-1", |path| path["ready"] == false)?;
    relay.stop()
}
