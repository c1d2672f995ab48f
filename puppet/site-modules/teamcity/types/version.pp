# @summary A version of TeamCity: 2026.1.4.
type Teamcity::Version = Pattern[/\A\d{4}\.\d{1,2}(\.\d+)?\z/]
