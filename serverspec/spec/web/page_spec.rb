# frozen_string_literal: true

describe file('/var/www/web/index.html') do
  it { is_expected.to be_file }
  it { is_expected.to be_owned_by 'root' }
  it { is_expected.to be_mode 644 }
end

describe 'GET /' do
  let(:answer) { http_get('/') }

  it 'answers 200' do
    expect(answer.code).to eq '200'
  end

  it 'says Hello World' do
    expect(answer.body).to include 'Hello World'
  end

  it 'is HTML' do
    expect(answer['Content-Type']).to start_with 'text/html'
  end

  it 'does not tell which Apache answers' do
    expect(answer['Server']).to eq 'Apache'
  end
end

describe 'GET /version' do
  let(:answer) { http_get('/version') }

  it 'is the key of the image' do
    expect(answer.code).to eq '200'
    expect(answer.body).to eq "#{ENV.fetch('IMAGE_KEY', 'development')}\n"
  end

  it 'is plain text that nobody may keep' do
    expect(answer['Content-Type']).to start_with 'text/plain'
    expect(answer['Cache-Control']).to eq 'no-store'
  end
end

describe 'HTTP' do
  it 'keeps the connection for the next request' do
    first = nil
    second = http_get('/') { |http| first = http.request_get('/') }
    expect([first.code, second.code]).to eq %w[200 200]
    expect(first['Connection']).not_to eq 'close'
  end

  it 'does not list directories' do
    expect(http_get('/icons/').code).to eq '404'
  end

  it 'refuses TRACE' do
    answer = nil
    http_get('/') { |http| answer = http.send_request('TRACE', '/') }
    expect(answer.code).to eq '405'
  end
end
