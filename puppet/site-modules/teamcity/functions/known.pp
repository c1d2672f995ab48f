# @summary Refuses a sum that nobody has looked up yet: nothing has it.
#
# @param key
#   What sets it in hiera.
# @param checksum
#   SHA-256 to judge.
# @param source
#   What it is of.
# @return [Boolean]
#   true; a sum of zeros is an error.
function teamcity::known(String[1] $key, String[1] $checksum, String[1] $source) >> Boolean {
  if $checksum =~ /\A0+\z/ {
    fail("${key} is not known yet: fetch ${source}, compare it with what its vendor publishes, and write its SHA-256 into puppet/data/roles/${facts['role']}.yaml")
  }
  true
}
