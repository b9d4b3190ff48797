//! Where tokio's tasks are, in programs of several versions of tokio, told by the programs themselves while they run.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use otel_ebpf_agent::runtime::{Found, Hook, Runtime, Tasks, examine};
use otel_ebpf_events::task::runtime;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

const NEWEST: &str = "1.54.1";

#[test]
fn tokio_1_38() {
    tells_the_truth("1.38.2", true);
}

#[test]
fn tokio_1_44() {
    tells_the_truth("1.44.2", false);
}

#[test]
fn tokio_1_48() {
    tells_the_truth("1.48.0", false);
}

#[test]
fn tokio_1_54() {
    tells_the_truth(NEWEST, false);
}

#[test]
fn optimized_as_a_whole_and_stripped() {
    let profile = "lto = \"fat\"\ncodegen-units = 1\npanic = \"abort\"\nstrip = true";
    let Some(program) = build("tasks-fat", NEWEST, profile) else { return };
    let tasks = check(&program, false);
    assert_eq!(tasks.found, Found::Shape);
}

#[test]
fn damaged_programs_are_no_trouble() {
    let Some(program) = build("tasks-1-54-1", NEWEST, "") else { return };
    let program = fs::read(stripped(&program, "damaged")).expect("read");
    damage(&program, 60);
    damage(&fs::read("/bin/ls").expect("read"), 300);
}

/// Whatever is wrong with a file, the search ends, and without a panic.
fn damage(program: &[u8], cases: u32) {
    let length = program.len();
    // Headers are at the start; sections' headers are at the end.
    let places =
        prop_oneof![4 => 0..1024_usize.min(length), 2 => length.saturating_sub(4096)..length, 3 => 0..length];
    let bytes = prop_oneof![Just(0), Just(0x7f), Just(0x80), Just(0xff), any::<u8>()];
    let changes = prop::collection::vec((places, bytes, 1..9_usize), 0..12);
    let end = prop_oneof![3 => Just(length), 1 => 0..length, 1 => 0..1024_usize.min(length)];
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 50, ..Config::default() };
    let result = TestRunner::new(config).run(&(changes, end), |(changes, end)| {
        let mut damaged = program.to_vec();
        for (at, byte, count) in changes {
            damaged.iter_mut().skip(at).take(count).for_each(|place| *place = byte);
        }
        damaged.truncate(end);
        examine(&damaged);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// Builds a program with a version of tokio and compares what is found in it, and in a stripped copy, with what its tasks
/// see.
fn tells_the_truth(version: &str, has_tag: bool) {
    let name = format!("tasks-{}", version.replace('.', "-"));
    let Some(program) = build(&name, version, "") else { return };
    let tasks = check(&program, has_tag);
    assert_eq!((tasks.name.as_str(), tasks.found), (&*format!("tokio {version}"), Found::Symbols));
    let of_stripped = check(&stripped(&program, "stripped"), has_tag);
    assert_eq!(of_stripped, Tasks { found: Found::Shape, ..tasks });
}

/// What is found in a program, compared with what it says itself.
fn check(program: &Path, has_tag: bool) -> Tasks {
    let found = examine(&fs::read(program).expect("read"));
    let Runtime::Tasks(tasks) = found else { panic!("{}: {found:?}", program.display()) };
    let layout = tasks.layout;
    assert_eq!(layout.runtime, runtime::TOKIO);
    assert_eq!(layout.current_tag != 0, has_tag, "{layout:?}");
    let count = |hook| tasks.sites.iter().filter(|(found, _)| *found == hook).count();
    assert_eq!(count(Hook::TokioWake), 2, "{tasks:?}");
    assert_eq!(count(Hook::TokioSpawn) == 0, tasks.lacks.is_some(), "{tasks:?}");
    assert_eq!(count(Hook::GoReady), 0, "{tasks:?}");
    assert!(tasks.sites.iter().all(|(_, site)| site.is_cheap), "{tasks:?}");
    let mut run = Command::new(program);
    let output =
        run.arg(layout.current.to_string()).arg(layout.current_tag.to_string()).output().expect("run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said == "right\n", "{}: {tasks:?}: {output:?}", program.display());
    println!("{}: {tasks:?}", program.display());
    tasks
}

/// A copy of a program without names.
fn stripped(program: &Path, suffix: &str) -> PathBuf {
    let copy = program.with_added_extension(suffix);
    succeeds(Command::new("strip").arg("-o").arg(&copy).arg(program));
    copy
}

/// The program in `runtime_programs/tokio`; `None`, and a remark, if crates.io is out of reach.
fn build(name: &str, version: &str, profile: &str) -> Option<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runtime_programs/tokio");
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("runtime_tokio");
    // Tests that build the same program at once write the same files.
    let package = all.join(name);
    fs::create_dir_all(&package).expect("make a directory");
    let manifest = fs::read_to_string(sources.join("Cargo.toml.in")).expect("read the manifest");
    let manifest = manifest.replace("@NAME@", name).replace("@TOKIO@", version).replace("@PROFILE@", profile);
    put(&package.join("Cargo.toml"), manifest.as_bytes());
    put(&package.join("main.rs"), &fs::read(sources.join("main.rs")).expect("read the program"));

    let target = all.join("target");
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(arguments).current_dir(&package);
        // What others set for their own builds must not decide what the program looks like.
        for (key, _) in env::vars_os() {
            let key = key.to_string_lossy().into_owned();
            if key.contains("RUSTFLAGS") || key.starts_with("CARGO_PROFILE_") || key == "RUSTC_WRAPPER" {
                command.env_remove(key);
            }
        }
        command.env_remove("CARGO_BUILD_TARGET").env("CARGO_TARGET_DIR", &target);
        command
    };
    let run = |command: &mut Command| command.output().expect("run cargo");
    if !run(&mut cargo(&["fetch", "--offline"])).status.success() {
        let fetch = run(&mut cargo(&["fetch"]));
        if !fetch.status.success() {
            eprintln!("SKIPPED: the crates of tokio {version} cannot be had: {}", text(&fetch));
            return None;
        }
    }
    succeeds(&mut cargo(&["build", "--release", "--offline", "--quiet"]));
    Some(target.join("release").join(name))
}

/// Writes a file if that changes it, so that nothing is built again, and at once, for others that read it.
fn put(path: &Path, contents: &[u8]) {
    if fs::read(path).is_ok_and(|present| present == contents) {
        return;
    }
    let temporary = path.with_added_extension(format!("{}", std::process::id()));
    fs::write(&temporary, contents).expect("write");
    fs::rename(&temporary, path).expect("rename");
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", text(&output));
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
