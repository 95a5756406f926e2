//! What the parser accepts and refuses.

use config::{Config, ConfigError, EXAMPLE, HostArguments, LaunchError, Mount};
use proptest::prelude::*;

fn parse(json: &str) -> Result<Config, ConfigError> {
    Config::parse(json.as_bytes())
}

/// The example with one piece of text replaced.
fn altered(from: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(from), "the example has no {from}");
    EXAMPLE.replacen(from, to, 1)
}

fn refusal(from: &str, to: &str) -> String {
    match parse(&altered(from, to)) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("accepted {to}"),
    }
}

fn bytes(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[test]
fn the_example_is_accepted() {
    let config = parse(EXAMPLE).expect("valid");
    assert_eq!(config.memory.user_space_size_bytes, 64 << 20);
    assert_eq!(config.process.host_arguments, HostArguments::Deny);
    let Mount::Erofs { image, .. } = &config.mounts[0] else {
        panic!("no image")
    };
    assert_eq!(image.root_hash.0, [0; 32]);
}

#[test]
fn an_unknown_field_is_refused_at_every_level() {
    for opening in [
        r#"{"debuggable""#,
        r#"{"default":["LANG=C"]"#,
        r#"{"model""#,
        r#"{"image":{"data"#,
        r#"{"data_size""#,
        r#"{"size""#,
        r#"{"command""#,
        r#"{"max""#,
    ] {
        let text = refusal(opening, &format!(r#"{{"surprise":1,{}"#, &opening[1..]));
        assert!(text.contains("surprise"), "{opening}: {text}");
    }
}

#[test]
fn a_field_that_is_missing_or_twice_there_is_named() {
    assert!(refusal(r#""disable_log":false,"#, "").contains("disable_log"));
    let twice = refusal(
        r#""debuggable":true"#,
        r#""debuggable":true,"debuggable":true"#,
    );
    assert!(twice.contains("duplicate field `debuggable`"), "{twice}");
    let twice = refusal(r#""size":1048576"#, r#""size":1048576,"size":4096"#);
    assert!(twice.contains("duplicate field `size`"), "{twice}");
}

#[test]
fn values_out_of_bounds_name_their_field() {
    for (from, to, field) in [
        (r#""version":1"#, r#""version":2"#, "version"),
        (r#""max":8"#, r#""max":0"#, "threads.max"),
        (r#""max":8"#, r#""max":70000"#, "threads.max"),
        (
            r#"size":67108864"#,
            r#"size":67108865"#,
            "memory.user_space_size",
        ),
        (
            r#"size":67108864"#,
            r#"size":18446744073709551615"#,
            "memory.user_space_size",
        ),
        (
            r#"size":67108864"#,
            r#"size":4096"#,
            "process.default_stack_size",
        ),
        (
            r#"stack_size":1048576"#,
            r#"stack_size":0"#,
            "process.default_stack_size",
        ),
        (r#"["/bin/hello"]"#, "[]", "process.command"),
        (
            r#"["/bin/hello"]"#,
            r#"["/sbin/hello"]"#,
            "process.command[0]",
        ),
        (
            r#"["/bin/hello"]"#,
            r#"["/bin/../sbin/hello"]"#,
            "process.command[0]",
        ),
        (
            r#"["/bin/hello"]"#,
            r#"["/bin/hello","a\u0000b"]"#,
            "process.command[1]",
        ),
        (r#"["/bin"]"#, r#"["/bin/"]"#, "entry_points[0]"),
        (r#"["/bin"]"#, r#"["bin"]"#, "entry_points[0]"),
        (r#""LANG=C""#, r#""LANG""#, "env.default[0]"),
        (r#""LANG=C""#, r#""LANG=C","LANG=D""#, "env.default[1]"),
        (r#""LANG=C""#, r#""TZ=UTC""#, "env.untrusted[0]"),
        (r#"["TZ"]"#, r#"["TZ=1"]"#, "env.untrusted[0]"),
        (r#""target":"/","#, r#""target":"/usr","#, "mount[0].target"),
        (r#""target":"/tmp""#, r#""target":"/""#, "mount[1].target"),
        (
            r#""target":"/tmp""#,
            r#""target":"/tmp/../x""#,
            "mount[1].target",
        ),
        (r#""size":1048576"#, r#""size":0"#, "mount[1].size"),
        (
            r#""data_size":8192"#,
            r#""data_size":8193"#,
            "mount[0].image.data_size",
        ),
        (
            r#"tree_offset":12288"#,
            r#"tree_offset":4096"#,
            "mount[0].image.tree_offset",
        ),
    ] {
        let text = refusal(from, to);
        assert!(text.contains(&format!("`{field}`")), "{to}: {text}");
    }
}

#[test]
fn a_mount_may_not_hide_an_earlier_one() {
    let tmpfs = |target: &str| format!(r#"{{"size":4096,"target":"{target}","type":"tmpfs"}}"#);
    let both = |first, second| {
        let mounts = format!(r#"{},{},{{"size":1048576,"#, tmpfs(first), tmpfs(second));
        parse(&altered(r#"{"size":1048576,"#, &mounts))
    };
    assert!(both("/var", "/var/log").is_ok());
    assert!(both("/var-log", "/var").is_ok());
    let error = both("/var/log", "/var").expect_err("hidden").to_string();
    assert!(error.contains("`mount[2].target` would hide"), "{error}");
}

#[test]
fn an_image_may_be_mounted_twice_but_no_two_images_share_a_number() {
    let again = |from: &str, to: &str| {
        let root = EXAMPLE
            .split("\"mount\":[")
            .nth(1)
            .and_then(|text| text.split(",{\"size").next());
        let copy = root
            .expect("image")
            .replace(r#""target":"/""#, r#""target":"/copy""#);
        parse(&altered(
            r#"{"size":1048576,"#,
            &format!(r#"{},{{"size":1048576,"#, copy.replace(from, to)),
        ))
    };
    assert!(again("", "").is_ok());
    let error = again(r#""name":"root""#, r#""name":"other""#)
        .expect_err("shared")
        .to_string();
    assert!(error.contains("`mount[1].image.index`"), "{error}");
}

#[test]
fn a_root_hash_has_exactly_64_lower_case_digits() {
    let zeros = "0".repeat(64);
    for wrong in [
        "0".repeat(63),
        "0".repeat(65),
        "G".repeat(64),
        "A".repeat(64),
    ] {
        assert!(refusal(&zeros, &wrong).contains("64 lower-case"), "{wrong}");
    }
}

#[test]
fn host_arguments_follow_the_policy() {
    let own = bytes(&["/bin/hello"]);
    let deny = parse(EXAMPLE).expect("valid");
    assert_eq!(deny.command_line(&[]), Ok(own));
    assert_eq!(
        deny.command_line(&bytes(&["x"])),
        Err(LaunchError::ArgumentsDenied)
    );

    let append = parse(&altered("deny", "append")).expect("valid");
    assert_eq!(
        append.command_line(&bytes(&["x"])),
        Ok(bytes(&["/bin/hello", "x"]))
    );

    let replace = parse(&altered("deny", "replace")).expect("valid");
    assert_eq!(
        replace.command_line(&bytes(&["/bin/ls", "-l"])),
        Ok(bytes(&["/bin/ls", "-l"]))
    );
    for outside in ["/sbin/ls", "bin/ls", "/bin/../sbin/ls", "/binary", "ls", ""] {
        let refused = replace.command_line(&bytes(&[outside]));
        assert_eq!(refused, Err(LaunchError::NoEntryPoint), "{outside}");
    }
}

#[test]
fn without_a_command_the_host_must_name_one() {
    let json = altered("deny", "replace").replace(r#"["/bin/hello"]"#, "[]");
    let config = parse(&json).expect("valid");
    assert_eq!(config.command_line(&[]), Err(LaunchError::NoProgram));
    assert_eq!(
        config.command_line(&bytes(&["/bin/ls"])),
        Ok(bytes(&["/bin/ls"]))
    );
}

#[test]
fn the_host_sets_only_variables_that_it_may_set() {
    let config = parse(EXAMPLE).expect("valid");
    let host = bytes(&[
        "LANG=evil",
        "LD_PRELOAD=x",
        "TZ=UTC",
        "TZ=CET",
        "TZX=1",
        "TZ",
    ]);
    assert_eq!(config.variables(&host), bytes(&["LANG=C", "TZ=UTC"]));
    assert_eq!(config.variables(&bytes(&["TZ=a\0b"])), bytes(&["LANG=C"]));
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(json in any::<Vec<u8>>()) {
        let _ = Config::parse(&json);
    }

    #[test]
    fn a_damaged_configuration_is_parsed_or_refused(
        position in 0..EXAMPLE.len(),
        byte in any::<u8>(),
        length in 0..EXAMPLE.len(),
    ) {
        let mut json = EXAMPLE.as_bytes().to_vec();
        json[position] = byte;
        let _ = Config::parse(&json);
        prop_assert!(Config::parse(&json[..length]).is_err(), "a cut configuration was accepted");
    }

    #[test]
    fn deep_nesting_is_refused(depth in 1..20_000_usize) {
        prop_assert!(Config::parse("[".repeat(depth).as_bytes()).is_err());
        let nested = format!("{}{}", r#"{"env":"#.repeat(depth), "1");
        prop_assert!(Config::parse(nested.as_bytes()).is_err());
    }

    /// What is accepted keeps the promises that the kernel builds on.
    #[test]
    fn sizes_of_a_process_fit_in_user_space(stack in 0..40_u64, heap in 0..40_u64, mmap in 0..40_u64) {
        let json = altered("stack_size\":1048576", &format!("stack_size\":{}", stack << 20))
            .replace("heap_size\":4194304", &format!("heap_size\":{}", heap << 20))
            .replace("mmap_size\":16777216", &format!("mmap_size\":{}", mmap << 20));
        let fits = stack > 0 && stack + heap + mmap <= 64;
        prop_assert_eq!(parse(&json).is_ok(), fits);
    }
}

#[test]
fn a_union_and_a_directory_of_the_host_are_read_and_checked() {
    let tmpfs = r#"{"size":1048576,"target":"/tmp","type":"tmpfs"}"#;
    let hostfs = |source: &str| {
        format!(
            r#"{{"executable":false,"read_only":true,"source":"{source}","target":"/h","type":"hostfs"}}"#
        )
    };
    let config = parse(&altered(tmpfs, &hostfs("./data"))).expect("valid");
    let Mount::Hostfs { source, .. } = &config.mounts[1] else {
        panic!("no directory of the host")
    };
    assert_eq!(source, "./data");
    assert!(refusal(tmpfs, &hostfs("")).contains("mount[1].source"));

    let union = altered(
        r#""target":"/","type":"erofs""#,
        r#""size":4096,"target":"/","type":"unionfs""#,
    );
    let config = parse(&union).expect("valid");
    assert!(config.mounts[0].image().is_some());
    let empty = refusal(
        r#""target":"/","type":"erofs""#,
        r#""size":0,"target":"/","type":"unionfs""#,
    );
    assert!(empty.contains("mount[0].size"), "{empty}");
}
