# frozen_string_literal: true

# Serverspec looks at the machine it runs on, or, where TARGET_HOST is set, at
# one over SSH:
#
#   TARGET_HOST, TARGET_PORT, TARGET_USER, TARGET_KEY   how to log in
#   TARGET_HTTP_PORT                                    where its port 80 is reached
#   TARGET_SINCE                                        when it was launched, in seconds since 1970
#   IMAGE_KEY                                           what /version must answer
require 'serverspec'
require 'net/http'

if ENV['TARGET_HOST']
  require 'net/ssh'
  set :backend, :ssh
  set :host, ENV['TARGET_HOST']
  set :ssh_options,
      user: ENV.fetch('TARGET_USER', 'admin'),
      port: ENV.fetch('TARGET_PORT', '22').to_i,
      keys: [ENV.fetch('TARGET_KEY')],
      keys_only: true,
      auth_methods: ['publickey'],
      # A machine just started: its host key is new each time.
      verify_host_key: :never,
      config: false,
      timeout: 10
else
  set :backend, :exec
end
set :path, '/usr/local/sbin:/usr/sbin:/sbin:$PATH'
set :env, LC_ALL: 'C.UTF-8'

# Arguments of find that pick what is older than this machine: it came with the
# image. ctime, since backups keep the time of what they copy. When the machine
# was launched EC2 knows best; else it is when process 1 started, less five
# seconds for what starts together with it.
SINCE = ENV.fetch('TARGET_SINCE', '$(( $(stat -c %Y /proc/1) - 5 ))')
BEFORE_BOOT = "! -newerct \"@#{SINCE}\"".freeze

# What the specs of every role share.
module Target
  def http_get(path, headers = {})
    host = ENV.fetch('TARGET_HOST', '127.0.0.1')
    port = ENV.fetch('TARGET_HTTP_PORT', '80').to_i
    Net::HTTP.start(host, port, open_timeout: 5, read_timeout: 5) do |http|
      yield http if block_given?
      http.request_get(path, headers)
    end
  end
end

RSpec.configure do |config|
  config.include Target
  # A run that looked at nothing proves nothing.
  config.fail_if_no_examples = true
  config.after(:suite) do
    skipped = RSpec.world.all_examples.select { |example| example.execution_result.status == :pending }
    abort "examples that were skipped prove nothing: #{skipped.map(&:full_description).join('; ')}" if skipped.any?
  end
end
