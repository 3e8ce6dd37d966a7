// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SealedBid} from "../src/examples/SealedBid.sol";
import {IEnclaveRegistry} from "../src/interfaces/IEnclaveRegistry.sol";
import {PolicyWords} from "../src/libraries/PolicyWords.sol";
import {Evidence, Request} from "../src/libraries/Types.sol";
import {EnclaveVerifier} from "../src/verifiers/EnclaveVerifier.sol";
import {EnclaveDeployment} from "./EnclaveDeployment.sol";
import {vm} from "./Vm.sol";

/// @title The example of a policy with an enclave: a bid needs the quorum and the enclave, and a real one
contract SealedBidTest is EnclaveDeployment {
    bytes4 private constant ENCLAVE = bytes4(keccak256("affidavit.verifier.enclave.v1"));
    address private constant ALICE = address(0xA11CE);
    bytes private constant LOT = hex"00010002";
    bytes private constant POINTS = hex"0007";

    SealedBid private bidder;

    function setUp() public override {
        super.setUp();
        vm.prank(OWNER);
        router.add(enclave);
        bidder = new SealedBid(coprocessor, modelId, 2, 1 gwei);
        registerEnclave(0, TDX);
        registerEnclave(3, SIMULATED);
    }

    function test_ABidNeedsTheQuorumAndAnEnclave() public {
        Request memory asked = askForPrice();
        refuse(asked, evidenceOf(asked, POINTS, 8));
        Evidence[] memory alone = new Evidence[](1);
        alone[0] = sealedBy(0, asked);
        refuse(asked, alone);
        refuse(asked, both(asked, sealedBy(5, asked))); // a key nobody registered
        coprocessor.deliver(asked, "", POINTS, both(asked, sealedBy(0, asked)));
        vm.assertEq(bidder.bidWeiFor(keccak256(LOT)), 7 gwei);
    }

    function test_ASimulatedEnclaveBidsNothing() public {
        Request memory asked = askForPrice();
        Evidence[] memory evidence = both(asked, sealedBy(3, asked));
        vm.expectPartialRevert(EnclaveVerifier.SimulatedEnclave.selector);
        coprocessor.deliver(asked, "", POINTS, evidence);
        vm.assertEq(bidder.POLICY(), PolicyWords.quorumAndEnclave(2));
    }

    function test_ANegativePriceIsNoBid() public {
        Request memory asked = askForPrice();
        bytes memory output = hex"ffff";
        Evidence[] memory evidence = new Evidence[](2);
        evidence[0] = evidenceOf(asked, output, 2)[0];
        evidence[1] = Evidence(ENCLAVE, signDigest(enclaveSecret(0), claimDigestOf(asked, output)));
        coprocessor.deliver(asked, "", output, evidence);
        vm.assertEq(bidder.bidWeiFor(keccak256(LOT)), 0);
    }

    function registerEnclave(uint256 i, uint8 platform) private {
        IEnclaveRegistry.Attestation memory it = attest(i, platform);
        // Of two operators who are neither of the two whose enclaves these are.
        register(it, signedBy(enclaves.computeAttestationDigest(it), 1, QUORUM_SIZE));
    }

    function askForPrice() private returns (Request memory asked) {
        asked = nextRequest(address(bidder), LOT, bidder.POLICY(), 10, bidder.CALLBACK_GAS());
        (asked.refundTo, asked.deadline) = (ALICE, uint64(block.timestamp) + 1 hours);
        vm.deal(ALICE, 10);
        vm.prank(ALICE);
        vm.assertEq(bidder.price{value: 10}(LOT, 1 hours), coprocessor.computeRequestId(asked));
    }

    function sealedBy(uint256 i, Request memory asked) private view returns (Evidence memory) {
        return Evidence(ENCLAVE, signDigest(enclaveSecret(i), claimDigestOf(asked, POINTS)));
    }

    function both(Request memory asked, Evidence memory sealing) private view returns (Evidence[] memory evidence) {
        evidence = new Evidence[](2);
        (evidence[0], evidence[1]) = (evidenceOf(asked, POINTS, 2)[0], sealing);
    }

    function refuse(Request memory asked, Evidence[] memory evidence) private {
        vm.expectRevert();
        coprocessor.deliver(asked, "", POINTS, evidence);
    }
}
