# @summary Refuses a version that lets strangers in (CVE-2026-63077 and others).
#
# 2026.2, 2026.1.4 and 2025.11.8 are fixed, and what is newer in their lines.
#
# @param version
#   The version to judge.
# @return [Boolean]
#   true; another version is an error.
function teamcity::fixed(Teamcity::Version $version) >> Boolean {
  $fixed = $version ? {
    /\A2025\.11(\.|\z)/ => versioncmp($version, '2025.11.8') >= 0,
    /\A2026\.0?1(\.|\z)/ => versioncmp($version, '2026.1.4') >= 0,
    default             => versioncmp($version, '2026.2') >= 0,
  }
  unless $fixed {
    fail("TeamCity ${version} lets strangers in (CVE-2026-63077 and others): 2026.2, 2026.1.4 or 2025.11.8 is needed")
  }
  true
}
