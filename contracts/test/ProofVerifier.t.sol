// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ProofFixture, TellingVerifier, Vector} from "./ProofFixture.sol";
import {vm} from "./Vm.sol";

/// @title Golden proofs: accepted, with the challenges that Python drew
contract ProofVerifierTest is ProofFixture {
    function test_SmallMlp() public {
        requireGolden("mlp-20-12-5");
    }

    function test_Zoo() public {
        requireGolden("zoo");
    }

    function test_ZooInManyChunks() public {
        requireGolden("zoo-chunks-of-32");
    }

    function test_ZooInLargeChunks() public {
        requireGolden("zoo-chunks-of-32768");
    }

    function test_CommittedInputs() public {
        requireGolden("committed-3-5-7");
        requireGolden("committed-3-5-7-chunks-of-32");
        requireGolden("committed-2-100-chunks-of-32");
    }

    function test_Mlp51k() public {
        requireGolden("mlp-784-64-10");
    }

    function test_Mlp235k() public {
        requireGolden("mlp-784-256-128-10");
    }

    function test_Mlp1M() public {
        requireGolden("mlp-784-1024-256-10");
    }

    function requireGolden(string memory name) private {
        Vector memory v = loadVector(name);
        TellingVerifier verifier = prepare(v);
        uint256[] memory drawn = challengesOf(verifier, v);
        vm.assertEq(drawn.length, v.challenges.length, "number of challenges");
        for (uint256 i; i < drawn.length; ++i) {
            vm.assertEq(drawn[i], v.challenges[i], vm.toString(i));
        }
    }
}
