//! The sealed configuration.

use config::{Config, EXAMPLE, HostArguments};

/// Bytes are refused, or make a configuration whose limits hold and that a host can only use as it
/// says.
pub(crate) fn check(data: &[u8]) {
    let config = match Config::parse(data) {
        Ok(config) => config,
        Err(error) => {
            assert!(!error.to_string().is_empty(), "a refusal without a reason");
            return;
        }
    };
    assert!(config.threads.max > 0);
    let takes_the_hosts = config.process.host_arguments == HostArguments::Replace;
    assert!(takes_the_hosts || !config.process.command.is_empty());
    for mount in &config.mounts {
        assert!(mount.target().starts_with('/'));
    }
    let host = [b"/bin/other".to_vec(), b"\xff".to_vec()];
    if let Ok(words) = config.command_line(&host) {
        assert!(!words.is_empty());
        assert!(words.iter().all(|word| !word.contains(&0)));
    }
    for variable in config.variables(&[b"TZ=x".to_vec(), b"LD_PRELOAD=y".to_vec(), Vec::new()]) {
        assert!(variable.contains(&b'=') && !variable.contains(&0));
    }
}

/// The example, and what each kind of mount looks like.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let tmpfs = r#"{"size":1048576,"target":"/tmp","type":"tmpfs"}"#;
    let hostfs = r#"{"read_only":false,"source":"shared","target":"/host","type":"hostfs"}"#;
    vec![
        EXAMPLE.into(),
        EXAMPLE.replace("\"deny\"", "\"replace\"").into(),
        EXAMPLE.replace("sgx1", "edmm").into(),
        EXAMPLE.replace(tmpfs, hostfs).into(),
    ]
}
