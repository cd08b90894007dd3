//! A server and a sidecar as processes, one of them told to end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// A process that ends with the test.
struct Process {
    child: Child,
    http: SocketAddr,
    tcp: Option<SocketAddr>,
}

impl Process {
    /// Starts the program and waits until it says where it listens.
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gameserver"))
            .args(arguments)
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("is up") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "it ended before it was up");
        }
        // Nobody reads the rest, but it must be able to write it.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let field = |name: &str| line.split_once(&format!("{name}=")).map(|(_, rest)| rest);
        let address = |name| field(name).map(|rest| rest.split_whitespace().next().unwrap().parse().unwrap());
        Self { child, http: address("http").unwrap(), tcp: address("tcp") }
    }

    fn get(&self, path: &str) -> Value {
        let mut stream = TcpStream::connect(self.http).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        let body = text.split_once("\r\n\r\n").unwrap().1;
        serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()))
    }

    /// Connects as a player: the connection and its greeting.
    fn join(&self) -> (BufReader<TcpStream>, Value) {
        let stream = TcpStream::connect(self.tcp.unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut reader = BufReader::new(stream);
        let greeting = line(&mut reader);
        (reader, serde_json::from_str(&greeting).unwrap())
    }

    /// SIGTERM: whether it ended well.
    fn terminate(&mut self) -> bool {
        let told = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(told.success());
        self.child.wait().unwrap().success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn line(reader: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line
}

fn echo(player: &mut BufReader<TcpStream>, text: &str) {
    player.get_mut().write_all(text.as_bytes()).unwrap();
    assert_eq!(line(player), text);
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gameserver-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn server(folder: &Folder, version: &str) -> Process {
    let (shared, state) = (folder.file("shared"), folder.file("state"));
    let address = "127.0.0.1:0";
    Process::start(&[
        "--http",
        address,
        "--tcp",
        address,
        "--version",
        version,
        "--shared",
        &shared,
        "--state",
        &state,
        "--beat",
        "10",
    ])
}

fn sidecar(folder: &Folder, version: &str) -> Process {
    let shared = folder.file("shared");
    Process::start(&[
        "sidecar",
        "--http",
        "127.0.0.1:0",
        "--version",
        version,
        "--shared",
        &shared,
        "--beat",
        "10",
    ])
}

/// The shared record once both have written it.
fn shared_by_both(process: &Process) -> Value {
    for _ in 0..1000 {
        let shared = process.get("/status")["shared"].clone();
        if shared["writes"]["server"].is_u64() && shared["writes"]["sidecar"].is_u64() {
            return shared;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the shared file was not written by both: {}", process.get("/status"));
}

#[test]
fn connections_are_numbered_and_name_their_process_and_go_on_after_a_restart() {
    let folder = Folder::new("restart");
    let mut first = server(&folder, "v1");
    let (mut one, greeting) = first.join();
    let (mut two, second) = first.join();
    assert_eq!((&greeting["connection"], &second["connection"]), (&1.into(), &2.into()));
    assert_eq!((&greeting["version"], &greeting["pid"]), (&"v1".into(), &first.child.id().into()));
    assert_eq!(greeting["instance"], first.get("/status")["identity"]["instance"]);
    echo(&mut one, "ping\n");
    echo(&mut two, "pong\n");
    assert_eq!(first.get("/status")["open"], 2);
    assert_eq!(first.get("/healthz"), "ok");
    assert_eq!(first.get("/reload")["reloads"], 1);
    assert!(first.terminate(), "SIGTERM is a good end");
    assert_eq!(line(&mut one), "", "the connection ended with the process");

    let second = server(&folder, "v2");
    let (_, again) = second.join();
    assert_eq!((&again["connection"], &again["version"]), (&3.into(), &"v2".into()));
    assert_ne!(again["instance"], greeting["instance"]);
    let counters = &second.get("/status")["counters"];
    assert_eq!((&counters["bytes"], &counters["reloads"]), (&10.into(), &1.into()));
    assert_eq!(counters["restarts"], 1);
}

#[test]
fn shared_memory_outlives_either_process() {
    let folder = Folder::new("shared");
    let game = server(&folder, "v1");
    let mut beside = sidecar(&folder, "s1");
    let before = shared_by_both(&game);
    assert!(beside.terminate());
    drop(beside);
    let beside = sidecar(&folder, "s2");
    let after = shared_by_both(&beside);
    assert_eq!(after["memory"], before["memory"]);
    assert!(after["counter"].as_u64() > before["counter"].as_u64());
    drop(game);
    let game = server(&folder, "v2");
    assert_eq!(shared_by_both(&game)["memory"], before["memory"]);
    assert!(Path::new(&folder.file("shared")).exists());
}

#[test]
fn a_server_is_let_go_when_nobody_plays_and_takes_nobody_while_it_drains() {
    let folder = Folder::new("drain");
    let game = server(&folder, "v1");
    assert_eq!(game.get("/can-delete")["code"], 0);
    let (mut player, _) = game.join();
    assert_eq!(game.get("/can-delete")["code"], 1);
    assert_eq!(game.get("/pre-delete")["code"], 1);
    let (_, turned_away) = game.join();
    assert_eq!(turned_away["draining"], true);
    echo(&mut player, "still here\n");
    drop(player);
    while game.get("/pre-delete")["code"] != 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    game.get("/cancel-delete");
    assert!(game.join().1["connection"].is_u64());
}

#[test]
fn a_server_that_lingers_lets_its_players_finish() {
    let address = "127.0.0.1:0";
    let mut game = Process::start(&["--http", address, "--tcp", address, "--linger", "60"]);
    let (mut player, _) = game.join();
    assert!(Command::new("kill").arg(game.child.id().to_string()).status().unwrap().success());
    while game.get("/status")["draining"] != true {
        std::thread::sleep(Duration::from_millis(10));
    }
    echo(&mut player, "still here\n");
    drop(player);
    assert!(game.child.wait().unwrap().success());
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_gameserver"))
        .args(["--tcp", &address, "--http", "127.0.0.1:0"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains(&address) && said.contains("--tcp"), "{said}");
}
