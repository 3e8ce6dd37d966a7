// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Request} from "../src/libraries/Types.sol";
import {DisputeDeployment} from "./DisputeDeployment.sol";

/// @title One answer, a lie, delivered and pending: what most tests of disputes begin with
abstract contract DisputedAnswer is DisputeDeployment {
    uint256 internal constant START = 1_700_000_000;

    Request internal asked;
    bytes32 internal id;

    function setUp() public virtual override {
        super.setUp();
        asked = deliverDisputable(LIE);
        id = idOf(asked);
    }
}
