//! Which hosts are Amazon ECR, and what their names say: `<account>.dkr.ecr.<region>.amazonaws.com`.

use crate::image::HostName;

/// A private registry of Amazon ECR, as its host name describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcrHost {
    /// Twelve digits.
    pub account: String,
    pub region: String,
}

impl EcrHost {
    /// None if the host is not a private ECR registry. FIPS and dual-stack names count, and those of China.
    pub fn of(host: &HostName) -> Option<Self> {
        let name = host.as_str().split(':').next()?;
        let (account, rest) = name.split_once('.')?;
        if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let rest = ["dkr.ecr-fips.", "dkr.ecr.", "dkr-ecr-fips.", "dkr-ecr."]
            .iter()
            .find_map(|prefix| rest.strip_prefix(prefix))?;
        let (region, domain) = rest.split_once('.')?;
        let known = ["amazonaws.com", "amazonaws.com.cn", "on.aws", "on.amazonwebservices.com.cn"];
        known.contains(&domain).then(|| Self { account: account.to_owned(), region: region.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_apart_and_give_their_region() {
        for (host, region) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("123456789012.dkr.ecr.us-gov-west-1.amazonaws.com:443", Some("us-gov-west-1")),
            ("123456789012.dkr.ecr-fips.us-east-2.amazonaws.com", Some("us-east-2")),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("123456789012.dkr-ecr.eu-west-1.on.aws", Some("eu-west-1")),
            ("public.ecr.aws", None),
            ("12345.dkr.ecr.eu-west-1.amazonaws.com", None),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example", None),
            ("123456789012.dkr.ecr.eu-west-1.example.com", None),
            ("registry.local:5000", None),
        ] {
            let found = EcrHost::of(&host.parse().unwrap()).map(|ecr| ecr.region);
            assert_eq!(found.as_deref(), region, "{host}");
        }
    }
}
