//! When a source is fetched: a server that hangs up at once counts how often it is asked.

use super::*;
use hub::{Limits, ReaderInfo, Start};
use media::MonoTime;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;
use tokio::time::Instant;

/// Accepts and hangs up.
async fn refuses() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    (format!("rtmp://{address}/live/x"), asked)
}

fn source(url: &str, on_demand: Option<OnDemand>) -> SourceConfig {
    let path = PathName::parse("cam").unwrap();
    SourceConfig {
        path,
        url: url.parse().unwrap(),
        on_demand,
        trust: Trust::System,
        transport: PullTransport::Automatic,
    }
}

/// Waits until `asked` has reached `count`.
async fn until(asked: &AtomicUsize, count: usize) {
    while asked.load(Ordering::Relaxed) < count {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_first_retry_comes_within_a_second() {
    let (url, asked) = refuses().await;
    let (hub, stop) = (Hub::new(Limits::default()), CancellationToken::new());
    let running = tokio::spawn(run(vec![source(&url, None)], hub, Clock::process(), stop.clone()));
    until(&asked, 1).await;
    let first = Instant::now();
    until(&asked, 2).await;
    assert!(first.elapsed() < Duration::from_secs(1), "{:?}", first.elapsed());
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn on_demand_nothing_is_asked_before_a_reader_comes_nor_after_the_last() {
    let (url, asked) = refuses().await;
    let (hub, stop) = (Hub::new(Limits::default()), CancellationToken::new());
    let times = OnDemand { close_after: Duration::from_millis(100), ..OnDemand::default() };
    let source = source(&url, Some(times));
    let path = source.path.clone();
    let running = tokio::spawn(run(vec![source], hub.clone(), Clock::process(), stop.clone()));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(asked.load(Ordering::Relaxed), 0);

    let waiting = hub.wait(&path);
    until(&asked, 1).await;
    let reader =
        hub.read(&path, ReaderInfo { kind: "test", id: String::new() }, Start::Live, MonoTime::from_micros(0)).unwrap();
    drop(waiting);
    until(&asked, 2).await;
    drop(reader);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = asked.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(asked.load(Ordering::Relaxed), before);
    stop.cancel();
    running.await.unwrap();
}
