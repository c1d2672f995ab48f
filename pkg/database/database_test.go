package database_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/database"
	"github.com/build-deploy-chain/chain/pkg/lab"
	"github.com/build-deploy-chain/chain/pkg/lab/sigv4"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

func open(t *testing.T) (*database.Client, *lab.Lab, aws.Config) {
	t.Helper()
	// The lab checks signatures, and tells long lists in pieces.
	l := lab.Start(t, func(o *lab.Options) {
		o.Factor, o.PageSize, o.Credentials = 1000, 1, []sigv4.Key{{ID: "AKIATEST", Secret: "secret"}}
	})
	target := &config.Target{
		Name: "lab", Account: lab.Account, Region: "eu-west-1", Endpoint: l.Endpoint(), Factor: 1000,
		Credentials: credentials.NewStaticCredentialsProvider("AKIATEST", "secret", ""),
	}
	cfg, err := target.AWS(t.Context())
	require.NoError(t, err)
	return database.New(cfg, config.Poll{Min: 2 * time.Millisecond, Max: 20 * time.Millisecond}, clock.System{}), l, cfg
}

func TestSnapshotsAreMadeFoundAndForgotten(t *testing.T) {
	t.Parallel()
	c, l, cfg := open(t)
	_, err := sdk.NewFromConfig(cfg).CreateDBInstance(t.Context(), &sdk.CreateDBInstanceInput{
		DBInstanceIdentifier: aws.String("orders"), Engine: aws.String("postgres"), DBInstanceClass: aws.String("db.t4g.small"), AllocatedStorage: aws.Int32(20),
		MasterUsername: aws.String("chain"), MasterUserPassword: aws.String("not-a-good-one"), StorageEncrypted: aws.Bool(true),
	})
	require.NoError(t, err)

	id := database.CopyOf("web-test-1", "abc")
	_, err = l.Fault(state.Fault{Kind: "throttle", Match: map[string]string{"service": "rds"}, Times: 2})
	require.NoError(t, err)
	require.NoError(t, c.Save(t.Context(), "orders", id, map[string]string{"chain:site": "web", "b": "2"}), "it waits for the database to be there")
	require.NoError(t, c.Save(t.Context(), "orders", id, nil), "what is there already is it")
	require.NoError(t, c.Save(t.Context(), "orders", "web-test-1-snapshot-database-1", nil))
	require.NoError(t, c.Save(t.Context(), "orders", "web-test-12-snapshot-database-1", nil))

	list, err := c.Find(t.Context(), database.Query{Instance: "orders"})
	require.NoError(t, err)
	require.Len(t, list, 3, "all pages")
	assert.Equal(t, "web-test-12-snapshot-database-1", list[0].ID, "the newest first")
	oldest := list[2]
	assert.Equal(t, map[string]string{"chain:site": "web", "b": "2"}, oldest.Tags)
	assert.WithinDuration(t, time.Now(), oldest.Created, time.Hour)
	oldest.Tags, oldest.Created = nil, time.Time{}
	assert.Equal(t, database.Snapshot{
		ID: id, ARN: "arn:aws:rds:eu-west-1:" + lab.Account + ":snapshot:" + id, Instance: "orders", Kind: "manual", Status: "available", Encrypted: true,
	}, oldest)

	require.NoError(t, c.Forget(t.Context(), "web-test-1"))
	list, err = c.Find(t.Context(), database.Query{})
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Equal(t, "web-test-12-snapshot-database-1", list[0].ID, "another stack's stays")
	require.NoError(t, c.Delete(t.Context(), id), "what is gone is no error")
	list, err = c.Find(t.Context(), database.Query{ID: id})
	require.NoError(t, err)
	assert.Empty(t, list)

	var api smithy.APIError
	require.ErrorAs(t, c.Save(t.Context(), "nothing", "x", nil), &api)
	assert.Contains(t, api.ErrorCode(), "DBInstanceNotFound")
}

func TestAPasswordIsMadeOnce(t *testing.T) {
	t.Parallel()
	c, _, cfg := open(t)
	value := func() string {
		out, err := ssm.NewFromConfig(cfg).GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/web/production/database"), WithDecryption: aws.Bool(true)})
		require.NoError(t, err)
		assert.Equal(t, "SecureString", string(out.Parameter.Type))
		return aws.ToString(out.Parameter.Value)
	}
	made, err := c.Password(t.Context(), "/web/production/database")
	require.NoError(t, err)
	assert.True(t, made)
	first := value()
	assert.GreaterOrEqual(t, len(first), 32)
	made, err = c.Password(t.Context(), "/web/production/database")
	require.NoError(t, err)
	assert.False(t, made)
	assert.Equal(t, first, value())
}

func TestNothingIsCalledElsewhere(t *testing.T) {
	t.Parallel()
	_, _, cfg := open(t)
	cfg.BaseEndpoint = aws.String("http://127.0.0.1:1")
	_, err := database.New(cfg, config.Poll{Min: time.Millisecond, Max: time.Millisecond}, clock.System{}).Find(t.Context(), database.Query{})
	require.ErrorIs(t, err, config.ErrElsewhere)
	cfg.BaseEndpoint = nil
	_, err = database.New(cfg, config.Poll{Min: time.Millisecond, Max: time.Millisecond}, clock.System{}).Find(t.Context(), database.Query{})
	require.ErrorContains(t, err, "rds.eu-west-1.amazonaws.com", "AWS's own endpoint unless another is set")
}
