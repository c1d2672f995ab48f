package template_test

import (
	"fmt"

	"github.com/awslabs/goformation/v7/cloudformation/sns"

	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/template"
)

// Another repository adds what its site needs to the template.
func ExampleRender() {
	c, err := config.Parse(".", []byte(`
sites:
  shop:
    role: shop
    domain: shop.hello.example
    environments:
      production:
        regions: [eu-central-1]
        sizes: {instances: 3}
`), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	body, err := template.Render(c, c.Sites["shop"].Environments["production"], "eu-central-1",
		func(t *template.Template, e *config.Environment) error {
			t.Add("Orders", &sns.Topic{DisplayName: new("orders of " + e.Stack())})
			t.Outputs = append(t.Outputs, template.Output{ID: "OrdersTopic", Description: "Orders", Value: template.Ref("Orders")})
			return nil
		})
	if err != nil {
		fmt.Println(err)
		return
	}
	ami, err := template.Image(body)
	fmt.Println(ami, template.Baked(ami), err)
	// Output: ami-00000000000000000 false <nil>
}
